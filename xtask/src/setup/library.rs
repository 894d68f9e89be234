// SPDX-License-Identifier: MIT OR Apache-2.0
//! The standard library's source (`rust-src`): there is no prebuilt `core` for the kernel's target.
//!
//! rustup puts it into the toolchain, where cargo looks by itself. From elsewhere it goes to `target/tools/rust-src`
//! and `dataplane/build.rs` tells cargo so: a toolchain may be read-only or belong to the system's packages, and
//! what lies under `target/` is gone with it.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};

use super::mirror;
use crate::command;
use crate::workspace::Workspace;

const GIVEN: &str = "SHUNT_RUST_SRC";
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Installs the source from the first place that has it.
pub(super) fn ensure(workspace: &Workspace) -> anyhow::Result<Option<String>> {
    let version = rustc_version(workspace)?;
    let own = Own {
        folder: workspace.tools().join("rust-src"),
    };
    if is_library(&sysroot(workspace)?.join("lib/rustlib/src/rust/library")) || own.holds(&version) {
        return Ok(None);
    }
    if let Some(given) = env::var_os(GIVEN) {
        let library = inside(Path::new(&given)).with_context(|| {
            format!(
                "{GIVEN}={}: no library/Cargo.lock in it",
                Path::new(&given).display()
            )
        })?;
        own.link(&library, &version)?;
        return Ok(Some(format!(
            "using the standard library's source in {}",
            library.display()
        )));
    }
    let rustup = match from_rustup(workspace) {
        Ok(()) => return Ok(Some(format!("rustup added rust-src {version}"))),
        Err(error) => error,
    };
    let debian = match from_debian(&own, &version) {
        Ok(package) => return Ok(Some(format!("unpacked Debian's {package} under target/tools"))),
        Err(error) => error,
    };
    Err(anyhow!(
        "rustup: {rustup:#}; Debian: {debian:#}; set {GIVEN} to a folder with rustc {version}'s `library` in it"
    ))
}

fn from_rustup(workspace: &Workspace) -> anyhow::Result<()> {
    command::on_path("rustup").context("not installed")?;
    let mut add = Command::new("rustup");
    add.current_dir(workspace.root())
        .args(["component", "add", "rust-src"]);
    command::capture_within(&mut add, RUSTUP_LIMIT)?;
    let library = sysroot(workspace)?.join("lib/rustlib/src/rust/library");
    ensure!(
        is_library(&library),
        "said yes, but left no {}",
        library.display()
    );
    Ok(())
}

/// Only the package of exactly this rustc: another's `core` does not compile.
fn from_debian(own: &Own, version: &str) -> anyhow::Result<String> {
    for program in ["apt-get", "dpkg-deb", "tar"] {
        command::on_path(program).with_context(|| format!("no {program} here"))?;
    }
    let scratch = own.folder.with_extension("apt");
    fresh(&scratch)?;
    let package = mirror::download(&scratch, "rust-src", version)?;
    let member = format!("./usr/src/rustc-{version}/library");
    own.unpack(&package, &member, version)?;
    fs::remove_dir_all(&scratch)?;
    Ok(package
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned())
}

/// `target/tools/rust-src`: `library`, and in `version` the rustc it belongs to.
struct Own {
    folder: PathBuf,
}

impl Own {
    fn holds(&self, version: &str) -> bool {
        let stamp = fs::read_to_string(self.folder.join("version"));
        stamp.is_ok_and(|stamp| stamp == version) && is_library(&self.folder.join("library"))
    }

    fn link(&self, library: &Path, version: &str) -> anyhow::Result<()> {
        fresh(&self.folder)?;
        symlink(fs::canonicalize(library)?, self.folder.join("library"))?;
        Ok(fs::write(self.folder.join("version"), version)?)
    }

    fn unpack(&self, package: &Path, member: &str, version: &str) -> anyhow::Result<()> {
        fresh(&self.folder)?;
        // The whole package is 340 MB of compiler; its `library` is 68 MB.
        let depth = Path::new(member).components().count() - 1;
        let archive = package.with_extension("tar");
        let mut tarball = Command::new("dpkg-deb");
        tarball
            .arg("--fsys-tarfile")
            .arg(package)
            .stdout(fs::File::create(&archive)?);
        command::show(&mut tarball)?;
        let mut extract = Command::new("tar");
        extract.arg("-xf").arg(&archive).arg("-C").arg(&self.folder);
        extract.arg(format!("--strip-components={depth}")).arg(member);
        command::capture(&mut extract)?;
        ensure!(
            is_library(&self.folder.join("library")),
            "{} has no {member}",
            package.display()
        );
        // Last: a folder without it does not count, so an unpacking that was cut short starts anew.
        Ok(fs::write(self.folder.join("version"), version)?)
    }
}

/// The `library` folder in a folder given by hand: itself, or inside a source tree or a toolchain.
fn inside(given: &Path) -> anyhow::Result<PathBuf> {
    ["", "library", "lib/rustlib/src/rust/library"]
        .iter()
        .map(|below| given.join(below))
        .find(|candidate| is_library(candidate))
        .context("not the standard library's source")
}

fn is_library(folder: &Path) -> bool {
    folder.join("Cargo.lock").is_file() && folder.join("core/src/lib.rs").is_file()
}

fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}

fn sysroot(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    Ok(command::capture(rustc(workspace).args(["--print", "sysroot"]))?
        .trim()
        .into())
}

fn rustc_version(workspace: &Workspace) -> anyhow::Result<String> {
    let text = command::capture(rustc(workspace).arg("--version"))?;
    match text.split_whitespace().nth(1) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("`rustc --version` says {text:?}"),
    }
}

fn rustc(workspace: &Workspace) -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(workspace.root());
    rustc
}
