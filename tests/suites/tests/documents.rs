// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comments and documents name only files that exist.
//!
//! A comment may name a file from the root of the repository, from the folder of its own file, or by the end of its
//! path within its crate, such as `control.rs`. A document may name a file from the root or from its own folder; its links
//! start at its own folder, because that is where a browser looks, and the headings in them
//! exist.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const DOCUMENT: &str = "md";
/// Kinds of files that have comments, and the sign that starts one.
const COMMENTS: [(&str, &str); 5] = [
    ("rs", "//"),
    ("toml", "#"),
    ("yaml", "#"),
    ("yml", "#"),
    ("sh", "#"),
];
/// Kinds of files that a name is taken for.
const NAMED: [&str; 2] = [".rs", ".md"];

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap().to_owned()
}

/// All files below `folder`, relative to `root`. Build output and hidden folders, except for `.github` and `.cargo`, are
/// left out.
fn collect(root: &Path, folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let is_hidden = name.starts_with('.') && name != ".github" && name != ".cargo";
        if is_hidden || name == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(root, &entry.path(), files);
        } else {
            files.insert(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
}

/// The text of the comments of a source file.
fn comments(source: &str, sign: &str) -> String {
    let starts = |line: &str| {
        line.match_indices(sign)
            .map(|(at, _)| at)
            .find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))
    };
    let lines = source
        .lines()
        .filter_map(|line| starts(line).map(|at| &line[at..]));
    lines.collect::<Vec<_>>().join("\n")
}

/// The part of the changelog that is not released yet: what a release said stays as it was.
fn unreleased(changelog: &str) -> &str {
    let headings = changelog.match_indices("\n## [").nth(1);
    headings.map_or(changelog, |(at, _)| &changelog[..at])
}

/// The words of a text that look like the path of a Rust file or of a document. Addresses of other sites do not count.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = text.split(|c: char| c.is_whitespace() || "()<>`\"".contains(c));
    words
        .filter(|word| !word.contains("://"))
        .flat_map(move |word| word.split(move |c| !is_path(c)))
        .map(|path| path.trim_end_matches('.'))
        .filter(|path| {
            NAMED.iter().any(|kind| {
                path.strip_suffix(kind)
                    .is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/'))
            })
        })
}

/// The targets of a document's links to files of the repository: path and heading, either of them may be empty.
fn links(document: &str) -> impl Iterator<Item = (&str, &str)> {
    document
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// The names that links give to a document's headings.
fn headings(document: &str) -> BTreeSet<String> {
    let titles = document.lines().filter(|line| line.starts_with('#'));
    let in_names = |c: &char| c.is_alphanumeric() || "_-".contains(*c);
    titles
        .map(|title| title.trim_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
        .map(|title| title.chars().filter(in_names).collect())
        .collect()
}

/// `folder/path` without `.` and `..`; `None` if it leads out of the repository.
fn resolve(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// Finds the paths and links in a file that lead nowhere.
struct Checker {
    /// All files of the repository.
    files: BTreeSet<PathBuf>,
    /// The headings of its documents.
    headings: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Checker {
    fn exists(&self, path: &Path) -> bool {
        // A folder exists if a file is in it.
        self.files.contains(path) || self.files.iter().any(|file| file.starts_with(path))
    }

    /// The folder of the crate that a file belongs to.
    fn crate_of<'a>(&self, file: &'a Path) -> &'a Path {
        let has_manifest = |folder: &&Path| self.files.contains(&folder.join("Cargo.toml"));
        file.ancestors()
            .skip(1)
            .find(has_manifest)
            .unwrap_or(Path::new(""))
    }

    fn names(&self, file: &Path, path: &str) -> bool {
        let is_there = |folder: &Path| resolve(folder, path).is_some_and(|path| self.exists(&path));
        if is_there(Path::new("")) || is_there(file.parent().unwrap()) {
            return true;
        }
        let home = self.crate_of(file);
        let is_source = file.extension().is_some_and(|kind| kind == "rs");
        let in_crate = |other: &&PathBuf| other.starts_with(home) && other.ends_with(path);
        is_source && home != Path::new("") && self.files.iter().any(|other| in_crate(&other))
    }

    fn has_link(&self, file: &Path, path: &str, heading: &str) -> bool {
        let target = if path.is_empty() {
            Some(file.to_owned())
        } else {
            resolve(file.parent().unwrap(), path)
        };
        target.is_some_and(|target| {
            let headings = self.headings.get(&target);
            self.exists(&target) && (heading.is_empty() || headings.is_some_and(|it| it.contains(heading)))
        })
    }

    fn missing(&self, file: &Path, text: &str) -> Vec<String> {
        let names = paths(text).filter(|path| !self.names(file, path));
        let mut missing: Vec<String> = names.map(str::to_owned).collect();
        if file.extension().is_some_and(|kind| kind == DOCUMENT) {
            let broken = links(text).filter(|(path, heading)| !self.has_link(file, path, heading));
            missing.extend(broken.map(|(path, heading)| format!("{path}#{heading}")));
        }
        missing
    }

    fn missing_in(&self, root: &Path, file: &Path) -> Vec<String> {
        let kind = file.extension().and_then(|kind| kind.to_str()).unwrap_or("");
        let sign = COMMENTS.iter().find(|(it, _)| *it == kind).map(|(_, sign)| *sign);
        if sign.is_none() && kind != DOCUMENT {
            return Vec::new();
        }
        let text = fs::read_to_string(root.join(file)).unwrap();
        let text = match sign {
            Some(sign) => comments(&text, sign),
            None if file == Path::new("CHANGELOG.md") => unreleased(&text).to_owned(),
            None => text,
        };
        let missing = self.missing(file, &text).into_iter();
        missing
            .map(|path| format!("{} names {path}", file.display()))
            .collect()
    }
}

#[test]
fn every_file_that_a_comment_or_a_document_names_exists() {
    let root = root();
    let mut files = BTreeSet::new();
    collect(&root, &root, &mut files);
    let documents = files
        .iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == DOCUMENT));
    let headings = documents
        .map(|file| {
            (
                file.clone(),
                headings(&fs::read_to_string(root.join(file)).unwrap()),
            )
        })
        .collect();
    let checker = Checker { files, headings };
    let missing: BTreeSet<String> = checker
        .files
        .iter()
        .flat_map(|file| checker.missing_in(&root, file))
        .collect();
    assert!(
        missing.is_empty(),
        "these files do not exist: write the path from the root, or correct it:\n{}",
        missing.into_iter().collect::<Vec<_>>().join("\n")
    );
}

fn small_repository() -> Checker {
    let files = [
        "Cargo.toml",
        "README.md",
        "docs/guide.md",
        "docs/adr/0001-first.md",
        "core/Cargo.toml",
        "core/src/lib.rs",
        "core/src/maps/flows.rs",
        "agent/Cargo.toml",
        "agent/src/main.rs",
    ];
    let guide = headings("# A guide\n\n## 2. Look, `here`\n");
    Checker {
        files: files.into_iter().map(PathBuf::from).collect(),
        headings: [(PathBuf::from("docs/guide.md"), guide)].into(),
    }
}

#[test]
fn a_comment_names_files_of_its_crate_by_the_end_of_their_path() {
    let checker = small_repository();
    let missing = |text| checker.missing(Path::new("core/src/lib.rs"), text);
    assert!(missing("//! see `flows.rs`, maps/flows.rs, docs/guide.md and core/src/lib.rs.").is_empty());
    assert_eq!(missing("// (see tables.rs)"), ["tables.rs"]);
    assert_eq!(missing("// [main.rs] of another crate"), ["main.rs"]);
    assert_eq!(missing("// ws.rs is not the end of a path"), ["ws.rs"]);
}

#[test]
fn a_document_names_files_from_the_root_or_its_folder_and_links_from_its_folder() {
    let checker = small_repository();
    let missing = |text| checker.missing(Path::new("docs/guide.md"), text);
    assert!(
        missing("`core/src/lib.rs`, adr/0001-first.md, [home](../README.md), [all](adr), [2](#2-look-here)")
            .is_empty()
    );
    assert!(
        missing("[elsewhere](https://example.org/none.md), <https://example.rs>, [self](guide.md#a-guide)")
            .is_empty()
    );
    assert_eq!(missing("`flows.rs`"), ["flows.rs"]);
    assert_eq!(
        missing("[first](docs/adr/0001-first.md)"),
        ["docs/adr/0001-first.md#"]
    );
    assert_eq!(missing("[out](../../secret)"), ["../../secret#"]);
    assert_eq!(missing("[3](#3-look)"), ["#3-look"]);
}

#[test]
fn only_comments_of_a_source_file_count() {
    let source = [
        "let path = \"made.rs\"; ",
        "// like real.rs\n",
        "//! first.rs\n",
        "let url = \"http://x/none.rs\";",
    ]
    .concat();
    assert_eq!(comments(&source, "//"), "// like real.rs\n//! first.rs");
}

#[test]
fn released_parts_of_the_changelog_are_history() {
    let text = "# Changelog\n\n## [Unreleased]\nnew.rs\n\n## [0.1.0]\nold.rs\n";
    assert_eq!(paths(unreleased(text)).collect::<Vec<_>>(), ["new.rs"]);
}
