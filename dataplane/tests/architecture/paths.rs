// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths in a file's code. A small reader: it knows comments, texts, `use` trees and `a::b::c`, and leaves out test
//! modules. That is enough for files that pass rustfmt and clippy's `wildcard_imports`.

pub(super) type Path = Vec<String>;

/// One name that a `use` brings in.
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Path,
    /// A re-export: the file passes the name on and need not use it.
    pub(super) is_public: bool,
}

#[derive(Default)]
pub(super) struct Paths {
    pub(super) imports: Vec<Import>,
    /// All other paths of two or more names.
    pub(super) uses: Vec<Path>,
}

pub(super) fn paths(text: &str) -> Paths {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let words = words(text);
    let mut found = Paths::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "use" {
            // `pub use` and `pub(super) use`.
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            let is_public = before.is_some_and(|word| word == "pub" || word == ")");
            at = tree(&words, at + 1, &[], is_public, &mut found.imports);
        } else if is_name(word) && words.get(at + 1).is_some_and(|next| next == "::") {
            let (path, next) = path(&words, at);
            found.uses.push(path);
            at = next;
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use`; returns the place after it.
fn tree(words: &[String], at: usize, before: &[String], is_public: bool, imports: &mut Vec<Import>) -> usize {
    let (names, mut at) = path(words, at);
    let path: Path = before.iter().cloned().chain(names).collect();
    match words.get(at).map(String::as_str) {
        Some("{") => {
            at += 1;
            while words.get(at).is_some_and(|word| word != "}") {
                at = tree(words, at, &path, is_public, imports);
                at += usize::from(words.get(at).is_some_and(|word| word == ","));
            }
            at + 1
        }
        Some("as") => {
            let name = words.get(at + 1).cloned().unwrap_or_default();
            imports.push(Import {
                name,
                path,
                is_public,
            });
            at + 2
        }
        _ => {
            let mut path = path;
            if path.len() > 1 {
                path.pop_if(|last| last == "self");
            }
            let name = path.last().cloned().unwrap_or_default();
            imports.push(Import {
                name,
                path,
                is_public,
            });
            at
        }
    }
}

/// Names with `::` between them, and the place after them (after a last `::`, too).
fn path(words: &[String], mut at: usize) -> (Path, usize) {
    let mut path = Path::new();
    while let Some(word) = words.get(at).filter(|word| is_name(word)) {
        path.push(word.clone());
        at += 1;
        if words.get(at).is_none_or(|next| next != "::") {
            break;
        }
        at += 1;
    }
    (path, at)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and single characters; no comments, texts or blanks.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            text_length(rest)
        } else if is_name(rest) {
            let end = |c: char| !c.is_alphanumeric() && c != '_';
            rest.find(end).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        if !word.starts_with("//") && first != '"' && !first.is_whitespace() {
            words.push(word.to_owned());
        }
        rest = after;
    }
    words
}

/// Of a text in quotes, the quotes included.
fn text_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn paths_are_read() {
    let code = "// use crate::no;\nuse super::{a::{self, B}, c as d};\npub(super) use e::F;\nfn f() { g::<H>(\"i::j\", crate::k::L) }";
    let found = paths(code);
    let imports: Vec<_> = found
        .imports
        .iter()
        .map(|it| format!("{} {} {}", it.name, it.path.join("::"), it.is_public))
        .collect();
    assert_eq!(
        imports,
        [
            "a super::a false",
            "B super::a::B false",
            "d super::c false",
            "F e::F true"
        ]
    );
    let uses: Vec<_> = found.uses.iter().map(|it| it.join("::")).collect();
    assert_eq!(uses, ["g", "crate::k::L"]);
}
