// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the programs under test are: named by the environment, or beside the running executable.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Result};

#[derive(Debug, Clone)]
pub struct Binaries {
    /// This package's own binary: the pods' programs and the reaper.
    pub lab: PathBuf,
    shunt: Option<PathBuf>,
}

impl Binaries {
    /// `SHUNT_LAB_BIN` and `SHUNT_BIN`, else the build folder that the running executable is in, else its
    /// sibling of the other profile.
    pub fn find() -> Result<Self> {
        let folders = build_folders()?;
        let lab = locate("shunt-lab", "SHUNT_LAB_BIN", &folders)?;
        Ok(Self {
            lab,
            shunt: locate("shunt", "SHUNT_BIN", &folders).ok(),
        })
    }

    /// The program under test is at `path`.
    #[must_use]
    pub fn with_shunt(self, path: PathBuf) -> Self {
        Self {
            shunt: Some(path),
            ..self
        }
    }

    pub fn shunt(&self) -> Result<&Path> {
        self.shunt.as_deref().ok_or_else(|| Error::NoBinary {
            name: "shunt",
            variable: "SHUNT_BIN",
            tried: build_folders().unwrap_or_default(),
        })
    }
}

fn locate(name: &'static str, variable: &'static str, folders: &[PathBuf]) -> Result<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let candidates: Vec<_> = match named {
        Some(path) => vec![path],
        None => folders.iter().map(|folder| folder.join(name)).collect(),
    };
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => path
            .canonicalize()
            .doing(|| format!("resolving {}", path.display())),
        None => Err(Error::NoBinary {
            name,
            variable,
            tried: candidates,
        }),
    }
}

fn build_folders() -> Result<Vec<PathBuf>> {
    let executable = env::current_exe().doing(|| "finding this executable".to_owned())?;
    let mut folder = executable.parent().map(Path::to_path_buf).unwrap_or_default();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let target = folder.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(vec![folder, target.join("release"), target.join("debug")])
}
