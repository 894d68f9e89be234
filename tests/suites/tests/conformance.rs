// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/conformance.md names the tests that show each case. These tests fail if a named test does not exist, or if the
//! numbers have a gap.

#![expect(
    clippy::unwrap_used,
    reason = "what helps a test may fail as loudly as the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dataplane::model::Family;
use suites::cases::all;

/// A line of the document: `| number | case | shown by |`.
struct Row {
    number: usize,
    case: String,
    shown: String,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", number, case, shown, ""] = cells.as_slice() else {
            return None;
        };
        Some(Self {
            number: number.parse().ok()?,
            case: case.to_owned(),
            shown: shown.to_owned(),
        })
    }

    /// The names between backticks: functions of tests, and cases of the table.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.shown.split('`').skip(1).step_by(2)
    }

    /// No test shows the case, and the line says why.
    fn is_excused(&self) -> bool {
        self.shown
            .strip_prefix("no:")
            .is_some_and(|why| why.trim().len() > 10)
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(workspace().join("docs/conformance.md")).unwrap();
    text.lines().filter_map(Row::read).collect()
}

/// Every function marked as a test in the workspace's sources, and every case of the table.
fn shown_by() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = Family::ALL
        .into_iter()
        .flat_map(all)
        .map(|case| case.name.to_owned())
        .collect();
    for folder in ["dataplane", "dataplane-common", "tests"] {
        collect(&workspace().join(folder), &mut names);
    }
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(tests_in(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The functions that follow a `#[test]`, `#[tokio::test]` or the like.
fn tests_in(source: &str) -> Vec<String> {
    let mut marked = false;
    let mut found = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ")
            && std::mem::take(&mut marked)
        {
            found.extend(rest.split('(').next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_numbers_have_no_gaps() {
    let numbers: Vec<usize> = rows().into_iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

#[test]
fn every_line_names_tests_that_exist_or_says_why_not() {
    let known = shown_by();
    for row in rows() {
        let names: Vec<&str> = row.names().collect();
        assert!(
            !names.is_empty() || row.is_excused(),
            "{} {}: no test, and no reason",
            row.number,
            row.case
        );
        for name in names {
            assert!(
                known.contains(name),
                "{} {}: there is no test or case {name:?}",
                row.number,
                row.case
            );
        }
    }
}

#[test]
fn the_numbers_in_the_names_of_cases_are_in_the_document() {
    let known = 1..=rows().len();
    for case in Family::ALL.into_iter().flat_map(all) {
        let Some((_, numbers)) = case.name.rsplit_once('[') else {
            continue;
        };
        for number in numbers.trim_end_matches(']').split(", ") {
            let number: usize = number.parse().unwrap();
            assert!(
                known.contains(&number),
                "{}: there is no case {number}",
                case.name
            );
        }
    }
}
