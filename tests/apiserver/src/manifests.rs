// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seeding from a folder of YAML or JSON files, as `kubectl apply -f DIR` would.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{Fixture, now};
use crate::status::Status;
use crate::write::store_manifest;

/// Why a folder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder or a file in it cannot be read.
    #[error("manifest {path} cannot be read: {why}: check the path")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// A file is no YAML.
    #[error("manifest {path} cannot be parsed: {why}: correct the file")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An object is refused as a real server would.
    #[error("manifest {path} is refused: {why}: correct the object")]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        why: Status,
    },
}

impl Fixture {
    /// Stores every object of the `.yaml`, `.yml` and `.json` files in `folder`; gives their number.
    pub fn load_manifests(&self, folder: &Path) -> Result<usize, ManifestError> {
        let mut count = 0;
        for path in files(folder)? {
            let text = std::fs::read_to_string(&path).map_err(|why| ManifestError::Read {
                path: path.clone(),
                why,
            })?;
            let objects = parse(&text).map_err(|why| ManifestError::Parse {
                path: path.clone(),
                why,
            })?;
            for object in objects {
                let stored = self.shared().write(|store| store_manifest(store, object, &now()));
                stored.map_err(|why| ManifestError::Refused {
                    path: path.clone(),
                    why,
                })?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// The objects of one file: documents, and the items of lists.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, yaml()).map_err(|why| why.to_string())?;
    Ok(documents
        .into_iter()
        .flat_map(unlisted)
        .filter(|object| !object.is_null())
        .collect())
}

/// YAML 1.2: a node named `n` is no boolean.
pub(crate) fn yaml() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

fn unlisted(mut document: Value) -> Vec<Value> {
    let is_list = document["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    match document.get_mut("items") {
        Some(Value::Array(items)) if is_list => std::mem::take(items),
        _ => vec![document],
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let unreadable = |why| ManifestError::Read {
        path: folder.to_owned(),
        why,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "---\nkind: Service\nmetadata: {name: a}\n---\nkind: List\nitems:\n- metadata: {name: b}\n- metadata: {name: c}\n";
        let names: Vec<_> = parse(text)
            .unwrap()
            .iter()
            .map(|o| o["metadata"]["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn one_letter_is_a_name() {
        let objects = parse("kind: Node\nmetadata: {name: n, labels: {a: y}}\n").unwrap();
        assert_eq!(objects[0]["metadata"]["name"], "n");
        assert_eq!(objects[0]["metadata"]["labels"]["a"], "y");
    }

    #[test]
    fn an_empty_file_has_no_objects_and_a_broken_one_is_an_error() {
        assert!(parse("# nothing\n").unwrap().is_empty());
        assert!(parse("a: [").is_err());
    }
}
