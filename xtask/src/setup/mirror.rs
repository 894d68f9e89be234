// SPDX-License-Identifier: MIT OR Apache-2.0
//! One package of a newer Debian, downloaded but not installed.
//!
//! The mirror is the machine's own, as apt itself reads its configuration; the suite is added in a private apt
//! state, so that the system's lists stay as they are and no root is needed. Signatures are checked as ever, with
//! Debian's own keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::command;

const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suite names of a Debian mirror besides the machine's release; what has other names is someone else's archive.
const NAMED_SUITES: [&str; 4] = ["stable", "oldstable", "testing", "unstable"];
const LIMIT: Duration = Duration::from_secs(300);

/// Downloads the package of this upstream version into the folder.
pub(super) fn download(folder: &Path, package: &str, upstream: &str) -> anyhow::Result<PathBuf> {
    let apt = Apt::new(folder)?;
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    ensure!(
        field(&release, "ID") == Some("debian"),
        "this system is not Debian"
    );
    let uris = command::capture(
        Command::new("apt-get")
            .args(apt.state())
            .args(["update", "--print-uris"]),
    )?;
    let mirrors = mirrors(&uris, field(&release, "VERSION_CODENAME").unwrap_or_default());
    let mut failure = None;
    for mirror in &mirrors {
        match apt.download(mirror, package, upstream) {
            Ok(file) => return Ok(file),
            Err(error) => failure = Some(error.context(format!("mirror {mirror}"))),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("apt is configured with no Debian mirror")))
}

/// An apt state of its own below a folder.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn download(&self, mirror: &str, package: &str, upstream: &str) -> anyhow::Result<PathBuf> {
        let signed_by = if Path::new(KEYRING).is_file() {
            format!("Signed-By: {KEYRING}\n")
        } else {
            String::new()
        };
        let source = format!("Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{signed_by}");
        fs::write(self.folder.join("only.sources"), source)?;
        command::capture_within(self.only("apt-get").arg("update"), LIMIT)?;
        let known = command::capture(self.only("apt-cache").args(["madison", package]))?;
        let version =
            version(&known, upstream).with_context(|| format!("{SUITE} has no {package} {upstream}"))?;
        let wanted = format!("{package}={version}");
        command::capture_within(self.only("apt-get").args(["download", &wanted]), LIMIT)?;
        let mut files = fs::read_dir(&self.folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        match files.find(|file| file.extension().is_some_and(|extension| extension == "deb")) {
            Some(file) => Ok(file),
            None => bail!("apt-get download {wanted} left no file"),
        }
    }

    /// Options that keep apt's hands off the system's state.
    fn state(&self) -> Vec<String> {
        let below = |part: &str| self.folder.join(part).display().to_string();
        [
            ("Dir::State", below("")),
            ("Dir::State::lists", below("lists")),
            ("Dir::State::status", below("status")),
            ("Dir::Cache", below("cache")),
            ("Acquire::Languages", "none".to_owned()),
            // A machine without a network shall hear so soon.
            ("Acquire::http::Timeout", "15".to_owned()),
            ("Acquire::https::Timeout", "15".to_owned()),
            // The user apt gives its privileges up to cannot write into a checkout.
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Get::AllowUnauthenticated", "false".to_owned()),
            ("Acquire::AllowInsecureRepositories", "false".to_owned()),
        ]
        .map(|(key, value)| format!("-o{key}={value}"))
        .to_vec()
    }

    /// An apt command that knows only the one source.
    fn only(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.current_dir(&self.folder)
            .args(self.state())
            .arg(format!(
                "-oDir::Etc::sourcelist={}",
                self.folder.join("only.sources").display()
            ))
            .arg("-oDir::Etc::sourceparts=/dev/null");
        apt
    }
}

/// The Debian mirrors among the addresses apt would update from: `'MIRROR/dists/SUITE/InRelease' FILE SIZE`.
fn mirrors(uris: &str, codename: &str) -> BTreeSet<String> {
    uris.lines()
        .filter_map(|line| line.strip_prefix('\'')?.split_once('\''))
        .filter_map(|(uri, _)| uri.strip_suffix("/InRelease")?.split_once("/dists/"))
        .filter(|(_, suite)| *suite == codename || NAMED_SUITES.contains(suite))
        .map(|(mirror, _)| mirror.to_owned())
        .collect()
}

/// The version in `PACKAGE | VERSION | SOURCE` lines that is made of this upstream version.
fn version<'a>(madison: &'a str, upstream: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| Some(line.split('|').nth(1)?.trim()))
        .find(|version| version.split(['+', '-', '~']).next() == Some(upstream))
}

fn field<'a>(os_release: &'a str, name: &str) -> Option<&'a str> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_what_serves_the_machines_own_release() {
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
    fn only_the_package_of_exactly_this_rustc_is_taken() {
        let madison = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://one.example trixie-backports/main\n \
                       rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://one.example trixie-backports/main\n";
        assert_eq!(version(madison, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(version(madison, "1.95"), None);
        assert_eq!(version(madison, "1.94.0"), None);
    }

    #[test]
    fn os_release_fields_are_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\nID_LIKE=\"x\"\n";
        assert_eq!(field(text, "ID"), Some("debian"));
        assert_eq!(field(text, "PRETTY_NAME"), Some("Debian"));
        assert_eq!(field(text, "VERSION"), None);
    }
}
