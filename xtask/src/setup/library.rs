// SPDX-License-Identifier: MIT OR Apache-2.0
//! The standard library's source (`rust-src`): there is no prebuilt `core` for the kernel's target.
//!
//! `rust-toolchain.toml` lists the component, so rustup installs it with the toolchain, unless the toolchain was there
//! before or `RUSTUP_AUTO_INSTALL=0` is set. A machine without network has it in the folder that `SHUNT_RUST_SRC`
//! names. `dataplane/build.rs` looks in the same two places.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::command;
use crate::workspace::Workspace;

const GIVEN: &str = "SHUNT_RUST_SRC";
const RUSTUP_LIMIT: Duration = Duration::from_secs(300);

/// Adds the component to the toolchain, unless the source is there.
pub(super) fn ensure(workspace: &Workspace) -> anyhow::Result<Option<String>> {
    if let Some(given) = given_rust_src() {
        ensure!(
            is_library(&given),
            "{GIVEN}={} is not the folder `library` of the Rust source",
            given.display()
        );
        return Ok(None);
    }
    let library = sysroot(workspace)?.join("lib/rustlib/src/rust/library");
    if is_library(&library) {
        return Ok(None);
    }
    add_component(workspace, &library)
        .with_context(|| format!("set {GIVEN} to the folder `library` of this Rust version's source"))?;
    Ok(Some("rustup added rust-src".to_owned()))
}

/// The folder that the user names, which counts before the toolchain's own.
pub(crate) fn given_rust_src() -> Option<PathBuf> {
    env::var_os(GIVEN)
        .filter(|given| !given.is_empty())
        .map(PathBuf::from)
}

fn add_component(workspace: &Workspace, library: &Path) -> anyhow::Result<()> {
    command::on_path("rustup").context("rustup is not installed")?;
    let mut add = Command::new("rustup");
    add.current_dir(workspace.root())
        .args(["component", "add", "rust-src"]);
    command::capture_within(&mut add, RUSTUP_LIMIT)?;
    ensure!(
        is_library(library),
        "rustup succeeded, but {} is not there",
        library.display()
    );
    Ok(())
}

fn is_library(folder: &Path) -> bool {
    folder.join("Cargo.lock").is_file() && folder.join("core/src/lib.rs").is_file()
}

fn sysroot(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(workspace.root()).args(["--print", "sysroot"]);
    Ok(command::capture(&mut rustc)?.trim().into())
}
