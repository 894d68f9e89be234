// SPDX-License-Identifier: MIT OR Apache-2.0
//! Columns and JSON.

use std::io::Write;

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// JSON for programs; fields are only ever added
    Json,
}

/// Writes a line. A closed pipe is not an error.
pub(super) fn line(mut to: impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(std::io::stdout(), &serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Rows under headings, each column as wide as its widest cell, in kubectl's manner.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(headings.get(column).map(|heading| heading.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let row = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("   ").trim_end().to_owned()
    };
    let mut lines = vec![row(headings.to_vec())];
    lines.extend(
        rows.iter()
            .map(|cells| row(cells.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "bb".to_owned()],
            vec!["long cell".to_owned(), "c".to_owned()],
        ];
        assert_eq!(
            table(&["X", "YY"], &rows),
            "X           YY\na           bb\nlong cell   c"
        );
    }
}
