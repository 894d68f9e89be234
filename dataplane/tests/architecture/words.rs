// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pure core stays pure: no clock, no input or output, no async, no kernel, no API client.

use std::fs;

use super::sources::{Source, read};

const PURE: [&str; 4] = ["model", "index", "compile", "plan"];

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
const PARSERS: [&str; 3] = ["index/parse/", "index/testing/", "index/tests/"];

fn code(source: &Source) -> String {
    let text = fs::read_to_string(&source.file).unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_pure_core_does_no_input_and_output() {
    let sources = read("dataplane/src");
    let pure: Vec<_> = sources
        .iter()
        .filter(|source| PURE.contains(&source.folder()))
        .collect();
    assert!(pure.len() > 20, "only {} files read", pure.len());
    for source in pure {
        let code = code(source);
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} has {word:?}", source.name);
        }
        let is_parser = PARSERS.iter().any(|folder| source.name.starts_with(folder));
        assert!(
            is_parser || !code.contains("k8s_openapi"),
            "{} uses objects of the Kubernetes API: only {PARSERS:?} may",
            source.name
        );
    }
}
