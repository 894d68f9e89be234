// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/conformance.md says which test shows which case. It must stay true: a test or a case that is renamed or
//! deleted is missed here.

#![expect(
    clippy::unwrap_used,
    reason = "what helps a test may fail as loudly as the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dataplane::model::Family;
use suites::cases::all;

/// The numbers of the project's checklist; a number with a gap before it was given up there.
const CHECKLIST: &str = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 \
     36 37 38 39 40 42 43 44 45 46 47 49 50 51 52 53 54 55 56 58 59 60 61 62 64 66 67 68 69 71 72 73 74 75 76 77 79 \
     80 81 82 83 84 85 86 87 88 89 90 91 92 94 96 97 98 99";

/// A line of the document: `| number | case | what shows it |`.
struct Row {
    number: String,
    case: String,
    shown: String,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", number, case, shown, ""] = cells.as_slice() else {
            return None;
        };
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self {
            number: number.to_owned(),
            case: case.to_owned(),
            shown: shown.to_owned(),
        })
    }

    /// What stands between backticks: tests by the names of their functions, cases of the table by theirs.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.shown.split('`').skip(1).step_by(2)
    }

    /// Nothing shows it, and the line says why.
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
fn every_case_of_the_checklist_has_its_line() {
    let told: Vec<String> = rows().into_iter().map(|row| row.number).collect();
    let mut wanted: Vec<String> = CHECKLIST.split_whitespace().map(str::to_owned).collect();
    // Shunt's own go on from there.
    wanted.extend(
        (100..)
            .take(told.len().saturating_sub(wanted.len()))
            .map(|number: u32| number.to_string()),
    );
    assert_eq!(told, wanted);
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
fn the_numbers_in_a_cases_name_are_of_the_checklist() {
    let checklist: BTreeSet<&str> = CHECKLIST.split_whitespace().collect();
    for case in Family::ALL.into_iter().flat_map(all) {
        let Some((_, numbers)) = case.name.rsplit_once('[') else {
            continue;
        };
        for number in numbers.trim_end_matches(']').split(',').map(str::trim) {
            let known = checklist.contains(number) || number.starts_with(|first: char| first.is_alphabetic());
            assert!(known, "{}: {number} is not on the checklist", case.name);
        }
    }
}
