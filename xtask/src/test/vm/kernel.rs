// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Debian kernel with its modules, and busybox: unpacked under `target/vm`, and kept there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::debian::{self, Apt};
use crate::command;

const IMAGE: &str = "linux-image-";
const ARCHITECTURE: &str = "-amd64";
/// Newer releases have divided the image's package.
const PARTS: [&str; 3] = [IMAGE, "linux-binary-", "linux-modules-"];
/// Variants of the same version.
const VARIANTS: [&str; 2] = ["-rt", "-cloud"];

/// An unpacked kernel.
pub(super) struct Kernel {
    release: String,
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The newest unpacked kernel that begins with this version, or else the newest that Debian has.
    pub(super) fn find_or_download(folder: &Path, version: &str, busybox: &Path) -> anyhow::Result<Self> {
        let version = version.trim_end_matches(".x");
        let kernels = folder.join("kernels");
        fs::create_dir_all(&kernels)?;
        let unpacked = fs::read_dir(&kernels)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.ends_with(debian::PARTIAL));
        if let Some(found) = newest(unpacked, version) {
            return Self::open(&kernels.join(found));
        }
        let apt = Apt::releases(folder)?;
        let names = apt.names(IMAGE)?;
        let versions = names
            .iter()
            .filter_map(|name| name.strip_prefix(IMAGE)?.strip_suffix(ARCHITECTURE))
            .filter(|found| !VARIANTS.iter().any(|variant| found.ends_with(variant)))
            .map(str::to_owned);
        let found = newest(versions, version)
            .with_context(|| format!("Debian's {} have none", debian::RELEASES.join(", ")))?;
        let known = [apt.names("linux-binary-")?, apt.names("linux-modules-")?, names].concat();
        let packages: Vec<String> = PARTS
            .iter()
            .map(|part| format!("{part}{found}{ARCHITECTURE}"))
            .filter(|package| known.contains(package))
            .collect();
        eprintln!("vm: downloading {}", packages.join(" "));
        let files = apt.download(&packages)?;
        let place = kernels.join(&found);
        debian::unpack(&files, &place, |partial| index_modules(partial, busybox))?;
        Self::open(&place)
    }

    fn open(folder: &Path) -> anyhow::Result<Self> {
        let parent = folder.join("lib/modules");
        let release = fs::read_dir(&parent)?
            .find_map(|entry| entry.ok()?.file_name().into_string().ok())
            .context("no modules")?;
        let modules = fs::canonicalize(parent.join(&release))?;
        let image = [
            folder.join(format!("boot/vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ]
        .into_iter()
        .find(|file| file.is_file())
        .with_context(|| format!("{} has no vmlinuz", folder.display()))?;
        Ok(Self {
            release,
            image,
            modules,
        })
    }

    pub(super) fn release(&self) -> &str {
        &self.release
    }

    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    /// What is `/lib/modules/RELEASE` on a machine with this kernel.
    pub(super) fn module_folder(&self) -> &Path {
        &self.modules
    }

    /// The files of these modules and of those that they need, in the order of loading. A module that is not there is
    /// part of the kernel itself.
    pub(super) fn modules(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let index = fs::read_to_string(self.modules.join("modules.dep")).context("read modules.dep")?;
        let mut files = Vec::new();
        for name in names {
            add_with_dependencies(&index, name, &mut files);
        }
        Ok(files.into_iter().map(|file| self.modules.join(file)).collect())
    }
}

/// Busybox as one file without libraries.
pub(super) fn busybox(folder: &Path) -> anyhow::Result<PathBuf> {
    let place = folder.join("busybox");
    if !place.exists() {
        let apt = Apt::releases(folder)?;
        let files = apt.download(&["busybox-static".to_owned()])?;
        debian::unpack(&files, &place, |_| Ok(()))?;
    }
    ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .map(|below| place.join(below))
        .find(|file| file.is_file())
        .context("the package has no busybox")
}

/// Writes `modules.dep` and the aliases, by which the kernel asks for modules.
fn index_modules(folder: &Path, busybox: &Path) -> anyhow::Result<()> {
    if !folder.join("lib/modules").is_dir() {
        fs::create_dir_all(folder.join("lib"))?;
        std::os::unix::fs::symlink("../usr/lib/modules", folder.join("lib/modules"))?;
    }
    for entry in fs::read_dir(folder.join("lib/modules"))? {
        let mut depmod = Command::new(busybox);
        depmod.arg("depmod").arg("-b").arg(folder).arg(entry?.file_name());
        command::capture(&mut depmod)?;
    }
    Ok(())
}

/// Adds a module's file after the files of the modules that it needs. The index has a line `FILE: FILES` for each.
fn add_with_dependencies<'a>(index: &'a str, name: &str, files: &mut Vec<&'a str>) {
    let lines = index.lines().filter_map(|line| line.split_once(':'));
    let Some((file, needed)) = lines.into_iter().find(|(file, _)| module_name(file) == name) else {
        return;
    };
    if files.contains(&file) {
        return;
    }
    for other in needed.split_whitespace() {
        add_with_dependencies(index, &module_name(other), files);
    }
    files.push(file);
}

fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// The newest of the versions that begin with the wanted numbers: `6.1` begins `6.1.0-42`, but not `6.12.95`.
fn newest(versions: impl Iterator<Item = String>, wanted: &str) -> Option<String> {
    let wanted = numbers(wanted);
    versions
        .filter(|version| numbers(version).starts_with(&wanted))
        .max_by_key(|version| numbers(version))
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        let known = || {
            [
                "6.1.0-9",
                "6.1.0-42",
                "6.12.95+deb12",
                "6.12.117+deb13",
                "7.0.4+deb13",
            ]
            .map(str::to_owned)
            .into_iter()
        };
        assert_eq!(newest(known(), "6.1").as_deref(), Some("6.1.0-42"));
        assert_eq!(newest(known(), "6.12").as_deref(), Some("6.12.117+deb13"));
        assert_eq!(newest(known(), "7").as_deref(), Some("7.0.4+deb13"));
        assert_eq!(newest(known(), "5.15"), None);
    }

    #[test]
    fn needed_modules_come_first() {
        let index = "fs/9p.ko.xz: net/9pnet.ko.xz fs/netfs.ko.xz\nnet/9pnet.ko.xz: fs/netfs.ko.xz\n\
                     fs/netfs.ko.xz:\n";
        let mut files = Vec::new();
        for name in ["9p", "9pnet", "virtio_pci"] {
            add_with_dependencies(index, name, &mut files);
        }
        assert_eq!(files, ["fs/netfs.ko.xz", "net/9pnet.ko.xz", "fs/9p.ko.xz"]);
    }
}
