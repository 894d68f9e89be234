// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pure core stays pure: no clock, no input or output, no async, no kernel, no API client.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

const PURE: [&str; 4] = ["src/model", "src/index", "src/compile", "src/plan"];

const FORBIDDEN: [&str; 18] = [
    "aya::",
    "kube::",
    "tokio",
    "futures::",
    "async ",
    "axum::",
    "nix::",
    "libc::",
    "tracing::",
    "println!",
    "Instant",
    "SystemTime::now",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "UdpSocket",
    "TcpStream",
];

/// Objects of the Kubernetes API end here; tests make them here.
const PARSERS: [&str; 3] = ["src/index/parse", "src/index/testing", "src/index/tests"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_pure_core_has_no_way_to_the_outside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    PURE.iter()
        .for_each(|folder| sources(&root.join(folder), &mut found));
    assert!(found.len() > 20, "{found:?}");
    for path in found {
        let code = code(&path);
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} says {word:?}", path.display());
        }
        let is_parser = PARSERS.iter().any(|folder| path.starts_with(root.join(folder)));
        assert!(
            is_parser || !code.contains("k8s_openapi"),
            "{} knows the API's objects",
            path.display()
        );
    }
}
