// SPDX-License-Identifier: MIT OR Apache-2.0
//! Series as Markdown tables. No number stands alone: what it is to be read against is in its row or its column.

use crate::series::{Samples, Section, Series, Summary};

/// The contender that others are measured against, in the datapath's tables.
pub(crate) const BASELINE: &str = "plain routing";

/// The name of the document's place for a section.
pub(super) fn place(section: Section) -> &'static str {
    match section {
        Section::Packet => "packet",
        Section::Datapath => "datapath",
        Section::Control => "control",
    }
}

/// The tables of a section.
pub(super) fn of(section: Section, series: &[Series]) -> String {
    let series: Vec<&Series> = series.iter().filter(|it| it.section == section).collect();
    match section {
        Section::Packet | Section::Control => by_case(&series),
        Section::Datapath => {
            let tables = distinct(series.iter().map(|it| it.table.as_str()));
            let table = |title: &str| {
                let members: Vec<&Series> = series.iter().filter(|it| it.table == title).copied().collect();
                format!("{title}:\n\n{}", by_contender(&members))
            };
            tables.into_iter().map(table).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A row for each case, a column for each contender.
fn by_case(series: &[&Series]) -> String {
    let contenders = distinct(series.iter().map(|it| it.contender.as_str()));
    let mut lines = vec![header("", &contenders), rule(contenders.len())];
    for case in distinct(series.iter().map(|it| it.case.as_str())) {
        let unit = series.iter().find(|it| it.case == case).map_or("", |it| it.unit);
        let cells: Vec<String> = contenders
            .iter()
            .map(|contender| find(series, case, contender).map_or(String::new(), |it| spread(&it.samples)))
            .collect();
        lines.push(row(&format!("{case}, {unit}"), &cells));
    }
    lines.join("\n") + "\n"
}

/// A row for each contender, a column for each case: the baseline's numbers, and of all others how many times those.
fn by_contender(series: &[&Series]) -> String {
    let cases = distinct(series.iter().map(|it| it.case.as_str()));
    let titles: Vec<String> = cases
        .iter()
        .map(|case| {
            let better = series.iter().find(|it| it.case == *case);
            let (unit, sign) = better.map_or(("", ""), |it| {
                (it.unit, if it.more_is_better { "↑" } else { "↓" })
            });
            format!("{case}, {unit} {sign}")
        })
        .collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let mut lines = vec![header("", &titles), rule(cases.len())];
    for contender in distinct(series.iter().map(|it| it.contender.as_str())) {
        let cells: Vec<String> = cases
            .iter()
            .map(
                |case| match (find(series, case, contender), find(series, case, BASELINE)) {
                    (Some(own), _) if contender == BASELINE => spread(&own.samples),
                    (Some(own), Some(base)) => times(&own.samples.ratio_to(&base.samples)),
                    (Some(own), None) => spread(&own.samples),
                    (None, _) => String::new(),
                },
            )
            .collect();
        lines.push(row(contender, &cells));
    }
    lines.join("\n") + "\n"
}

fn find<'a>(series: &[&'a Series], case: &str, contender: &str) -> Option<&'a Series> {
    series
        .iter()
        .find(|it| it.case == case && it.contender == contender)
        .copied()
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

fn header(first: &str, columns: &[&str]) -> String {
    row(
        first,
        &columns.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
    )
}

fn rule(columns: usize) -> String {
    format!("|---|{}", "--:|".repeat(columns))
}

fn row(first: &str, cells: &[String]) -> String {
    format!("| {first} | {} |", cells.join(" | "))
}

/// The median, and in brackets the quartiles, unless there was one sample only.
fn spread(samples: &Samples) -> String {
    match samples.summary() {
        None => String::new(),
        Some(it) if samples.0.len() == 1 => number(it.median),
        Some(Summary { median, low, high }) => {
            format!("{} ({}–{})", number(median), number(low), number(high))
        }
    }
}

fn times(samples: &Samples) -> String {
    samples.summary().map_or_else(String::new, |it| {
        format!("×{:.2} ({:.2}–{:.2})", it.median, it.low, it.high)
    })
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        10_000_000.0.. => format!("{:.1} M", value / 1e6),
        1_000_000.0.. => format!("{:.2} M", value / 1e6),
        10_000.0.. => format!("{:.0} k", value / 1e3),
        1_000.0.. => format!("{:.2} k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(case: &str, contender: &str, samples: &[f64]) -> Series {
        Series {
            section: Section::Datapath,
            table: "Rates".to_owned(),
            case: case.to_owned(),
            contender: contender.to_owned(),
            unit: "packets/s",
            more_is_better: true,
            samples: Samples(samples.to_vec()),
        }
    }

    #[test]
    fn others_are_shown_as_multiples_of_the_baseline() {
        let all = [
            series("UDP", BASELINE, &[100.0, 200.0, 100.0]),
            series("UDP", "other", &[90.0, 180.0, 90.0]),
        ];
        let table = of(Section::Datapath, &all);
        assert_eq!(
            table,
            "Rates:\n\n|  | UDP, packets/s ↑ |\n|---|--:|\n| plain routing | 100 (100–150) |\n| other | ×0.90 (0.90–0.90) |\n"
        );
    }

    #[test]
    fn numbers_keep_three_digits() {
        let texts = [0.0, 0.5, 12.34, 123.4, 1234.0, 12_345.0, 1_234_567.0].map(number);
        assert_eq!(texts, ["0", "0.50", "12.3", "123", "1.23 k", "12 k", "1.23 M"]);
    }
}
