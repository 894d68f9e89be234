// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian packages, downloaded and unpacked but not installed.
//!
//! The mirror is the machine's own, taken from apt's configuration. Everything that apt writes is below one folder, so
//! the system's package lists stay as they are and no root is needed. Signatures are checked with Debian's own keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::command;

/// The releases whose kernels can be had, with one to three kernel versions each.
pub(super) const RELEASES: [&str; 4] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports"];
/// The end of a folder's name while it is incomplete.
pub(super) const PARTIAL: &str = ".partial";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Names of releases on a Debian mirror, besides the machine's own: other names belong to other archives.
const NAMED_SUITES: [&str; 4] = ["stable", "oldstable", "testing", "unstable"];
const LIMIT: Duration = Duration::from_secs(900);

/// An apt with its own state below a folder.
pub(super) struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Knows the packages of [`RELEASES`], as if none was installed.
    pub(super) fn releases(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("apt-releases");
        let status = folder.join("status");
        let sources = folder.join("only.sources");
        let apt = Self::new(
            folder,
            [
                ("Dir::State::status", status.display().to_string()),
                ("Dir::Etc::sourcelist", sources.display().to_string()),
                ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ],
        )?;
        fs::write(&status, "")?;
        fs::write(&sources, source(&mirror()?))?;
        apt.update()?;
        Ok(apt)
    }

    /// Knows the machine's own packages, and which of them are installed.
    pub(super) fn machine(folder: &Path) -> anyhow::Result<Self> {
        let apt = Self::new(
            folder.join("apt-machine"),
            [("Dir::State::status", "/var/lib/dpkg/status".to_owned())],
        )?;
        apt.update()?;
        Ok(apt)
    }

    fn new<const N: usize>(folder: PathBuf, more: [(&str, String); N]) -> anyhow::Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            command::on_path(program).with_context(|| format!("this system has no {program}"))?;
        }
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let below = |part: &str| folder.join(part).display().to_string();
        let options = [
            ("Dir::State", below("")),
            ("Dir::State::lists", below("lists")),
            ("Dir::Cache", below("cache")),
            ("Acquire::Languages", "none".to_owned()),
            (
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
                "false".to_owned(),
            ),
            // Fail soon on a machine without network.
            ("Acquire::http::Timeout", "15".to_owned()),
            ("Acquire::https::Timeout", "15".to_owned()),
            // apt would give up its privileges to a user who cannot write into a checkout.
            ("APT::Sandbox::User", "root".to_owned()),
            // The system's own lock is root's. Nothing of the system is written here.
            ("Debug::NoLocking", "true".to_owned()),
            ("APT::Get::AllowUnauthenticated", "false".to_owned()),
            ("Acquire::AllowInsecureRepositories", "false".to_owned()),
        ]
        .into_iter()
        .chain(more)
        .map(|(key, value)| format!("-o{key}={value}"))
        .collect();
        Ok(Self { folder, options })
    }

    /// Reads the lists of packages. One release that the mirror lacks does not matter to the others, so apt's failure
    /// counts only if nothing at all is known afterwards.
    fn update(&self) -> anyhow::Result<()> {
        let updated = command::capture_within(self.command("apt-get").args(["-qq", "update"]), LIMIT);
        match self.names("base-files") {
            Ok(names) if !names.is_empty() => Ok(()),
            _ => updated.map(drop),
        }
    }

    /// The packages whose names begin so.
    pub(super) fn names(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let names = command::capture(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads the newest versions of these packages.
    pub(super) fn download(&self, packages: &[String]) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join("cache/archives");
        empty(&folder)?;
        let mut download = self.command("apt-get");
        download
            .current_dir(&folder)
            .args(["-qq", "download"])
            .args(packages);
        command::capture_within(&mut download, LIMIT)?;
        archives(&folder)
    }

    /// Downloads a package and all packages that it needs and that are not installed.
    pub(super) fn download_with_dependencies(&self, package: &str) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join("cache/archives");
        empty(&folder)?;
        let mut install = self.command("apt-get");
        install.args([
            "-qq",
            "install",
            "--download-only",
            "--yes",
            "--no-install-recommends",
            package,
        ]);
        command::capture_within(&mut install, LIMIT)?;
        archives(&folder)
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.args(&self.options);
        apt
    }
}

/// Unpacks the packages into one folder, which appears only once `finish` has succeeded, too. The files are removed.
pub(super) fn unpack(
    files: &[PathBuf],
    folder: &Path,
    finish: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    for file in files {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(file).arg(&partial);
        command::capture(&mut unpack)?;
        fs::remove_file(file)?;
    }
    finish(&partial)?;
    fs::rename(&partial, folder).with_context(|| format!("rename to {}", folder.display()))
}

/// The Debian mirror among the addresses from which apt would update.
fn mirror() -> anyhow::Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    ensure!(
        field(&release, "ID") == Some("debian"),
        "this system is not Debian"
    );
    let uris = command::capture(Command::new("apt-get").args([
        "update",
        "--print-uris",
        "-oDebug::NoLocking=true",
    ]))?;
    mirrors(&uris, field(&release, "VERSION_CODENAME").unwrap_or_default())
        .pop_first()
        .context("apt is configured with no Debian mirror")
}

/// A source entry in apt's own format.
fn source(mirror: &str) -> String {
    let signed_by = if Path::new(KEYRING).is_file() {
        format!("Signed-By: {KEYRING}\n")
    } else {
        String::new()
    };
    let releases = RELEASES.join(" ");
    format!("Types: deb\nURIs: {mirror}\nSuites: {releases}\nComponents: main\n{signed_by}")
}

/// From lines `'MIRROR/dists/SUITE/InRelease' FILE SIZE`.
fn mirrors(uris: &str, codename: &str) -> BTreeSet<String> {
    uris.lines()
        .filter_map(|line| line.strip_prefix('\'')?.split_once('\''))
        .filter_map(|(uri, _)| uri.strip_suffix("/InRelease")?.split_once("/dists/"))
        .filter(|(_, suite)| *suite == codename || NAMED_SUITES.contains(suite))
        .map(|(mirror, _)| mirror.to_owned())
        .collect()
}

fn field<'a>(os_release: &'a str, name: &str) -> Option<&'a str> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

fn archives(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    ensure!(
        !files.is_empty(),
        "apt-get left no package in {}",
        folder.display()
    );
    Ok(files)
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?.path();
        if file.is_file() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_serves_the_machines_own_release() {
        let uris = "'http://one.example/debian/dists/bookworm/InRelease' a 0\n\
                    'http://one.example/debian/dists/bookworm-updates/InRelease' b 0\n\
                    'http://one.example/debian-security/dists/bookworm-security/InRelease' c 0\n\
                    'http://one.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' d 0\n\
                    'https://vendor.example/node_20.x/dists/nodistro/InRelease' e 0\n\
                    'file:/srv/debian/dists/stable/InRelease' f 0\n";
        let found = mirrors(uris, "bookworm");
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["file:/srv/debian", "http://one.example/debian"]
        );
    }

    #[test]
    fn os_release_fields_are_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\nID_LIKE=\"x\"\n";
        assert_eq!(field(text, "ID"), Some("debian"));
        assert_eq!(field(text, "PRETTY_NAME"), Some("Debian"));
        assert_eq!(field(text, "VERSION"), None);
    }
}
