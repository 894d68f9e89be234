// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds dependencies that no code uses. It reads the manifests as text: they are all ours and of one form.
//!
//! A package uses a dependency if one of its Rust files contains the dependency's name as a word. The workspace uses an
//! entry of its table if a package takes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;

const EXCUSE: &str = "# Not used by name";

/// Fails with the names of all unused dependencies.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let root = read(&workspace.root().join("Cargo.toml"))?;
    let mut unused = Vec::new();
    let mut taken = BTreeSet::new();
    for member in members(&root) {
        let folder = workspace.root().join(member);
        let manifest = read(&folder.join("Cargo.toml"))?;
        let words = words(&folder)?;
        for dependency in dependencies(&manifest) {
            if !words.contains(&dependency.replace('-', "_")) && !excused(&manifest, dependency) {
                unused.push(format!("{member}: {dependency}"));
            }
            taken.insert(dependency.to_owned());
        }
    }
    for entry in section(&root, |header| header == "[workspace.dependencies]") {
        if !taken.contains(entry) {
            unused.push(format!("workspace: {entry}"));
        }
    }
    if !unused.is_empty() {
        bail!("unused dependencies: {}", unused.join(", "));
    }
    Ok(())
}

/// The names of a package's dependencies of all kinds.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    section(manifest, |header| header.ends_with("dependencies]"))
}

/// Some dependencies only turn on features. A comment above them begins with [`EXCUSE`] and says why.
fn excused(manifest: &str, dependency: &str) -> bool {
    manifest
        .lines()
        .zip(manifest.lines().skip(1))
        .any(|(comment, line)| comment.starts_with(EXCUSE) && key(line) == Some(dependency))
}

/// The keys of all tables whose header fits.
fn section(manifest: &str, fits: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = fits(line);
            return None;
        }
        key(line).filter(|_| inside)
    })
}

/// `name` of a line `name.workspace = true` or `name = ...`.
fn key(line: &str) -> Option<&str> {
    let end = line.find(['.', ' ', '='])?;
    let name = &line[..end];
    (!name.is_empty() && !name.starts_with(['#', '"', '}', ']'])).then_some(name)
}

fn members(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| !line.starts_with("members"))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.split('"').nth(1))
}

/// All identifiers of the Rust files below a folder.
fn words(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = read(&path)?;
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                words.extend(
                    lines
                        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
                        .map(str::to_owned),
                );
            }
        }
    }
    Ok(words)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[dependencies]\nserde.workspace = true\n\
                            # Not used by name: why.\ntokio = { workspace = true }\n\n[features]\nhost = []\n\n\
                            [dev-dependencies]\n# Why.\ntempfile.workspace = true\n";

    #[test]
    fn dependencies_of_all_kinds_are_read() {
        let found: Vec<_> = dependencies(MANIFEST).collect();
        assert_eq!(found, ["serde", "tokio", "tempfile"]);
    }

    #[test]
    fn a_comment_excuses_a_dependency_without_code() {
        assert!(excused(MANIFEST, "tokio"));
        assert!(!excused(MANIFEST, "serde"));
    }

    #[test]
    fn members_are_the_lines_of_their_list() {
        let manifest =
            "[workspace]\nmembers = [\n    \"a\",\n    \"tests/b\",\n]\ndefault-members = [\"a\"]\n";
        assert_eq!(members(manifest).collect::<Vec<_>>(), ["a", "tests/b"]);
    }
}
