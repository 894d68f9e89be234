// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Rust files of a crate, as modules.

use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub(super) struct Source {
    pub(super) file: PathBuf,
    /// From the crate's `src`: `plan/maps.rs`.
    pub(super) name: String,
}

impl Source {
    /// The folder directly below `src`, or the file there: `plan` for `plan/maps.rs`, `http` for `http.rs`.
    pub(super) fn folder(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Modules from the crate's root: `[plan, maps]` for `plan/maps.rs`.
    pub(super) fn module(&self) -> Vec<String> {
        let mut module: Vec<String> = self.name.split('/').map(str::to_owned).collect();
        let last = module.pop().unwrap_or_default();
        match last.as_str() {
            "mod.rs" | "lib.rs" => {}
            file => module.push(file.trim_end_matches(".rs").to_owned()),
        }
        module
    }

    /// Tests may use everything.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.name.split('/');
        parts.any(|part| ["tests", "tests.rs", "testing", "testing.rs"].contains(&part))
    }
}

/// Every file below a folder of the repository, in order.
pub(super) fn read(folder: &str) -> Vec<Source> {
    let root = root().join(folder);
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

pub(super) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.is_dir() {
            collect(root, &file, sources);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            sources.push(Source { file, name });
        }
    }
}
