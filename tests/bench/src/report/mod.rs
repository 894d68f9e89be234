// SPDX-License-Identifier: MIT OR Apache-2.0
//! Telling what was measured: as text, as JSON, as a picture, and in the documentation.

mod docs;
mod plot;
mod tables;

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::machine::Machine;
use crate::series::{Section, Series};
pub(crate) use tables::BASELINE;

/// Everything that one run of the bench has found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub quick: bool,
    pub series: Vec<Series>,
}

impl Report {
    /// Tables for a person, which are Markdown at the same time.
    #[must_use]
    pub fn text(&self) -> String {
        let sections = self.sections().map(|section| {
            let title = match section {
                Section::Packet => "packet: nanoseconds in one program",
                Section::Datapath => "datapath: traffic through nodes",
                Section::Control => "control: the agent",
            };
            format!("## {title}\n\n{}\n", tables::of(section, &self.series))
        });
        format!("{}\n\n{}", self.circumstances(), sections.collect::<String>())
    }

    /// Every sample.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }

    /// A picture of the rates of traffic.
    pub fn write_plot(&self, path: &Path) -> anyhow::Result<()> {
        let picture = plot::picture(&self.series)?;
        fs::write(path, picture).with_context(|| format!("write {}", path.display()))
    }

    /// Puts the tables where the document has places for them.
    pub fn write_docs(&self, path: &Path) -> anyhow::Result<()> {
        let read = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let mut text = docs::fill(&read, "machine", &self.circumstances())?;
        for section in self.sections() {
            text = docs::fill(&text, tables::place(section), &tables::of(section, &self.series))?;
        }
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    fn sections(&self) -> impl Iterator<Item = Section> {
        let measured = |section: &Section| self.series.iter().any(|series| series.section == *section);
        [Section::Packet, Section::Datapath, Section::Control]
            .into_iter()
            .filter(measured)
    }

    fn circumstances(&self) -> String {
        let Machine {
            date,
            cpu,
            cpus,
            kernel,
            load,
        } = &self.machine;
        let how = if self.quick { ", `--quick`" } else { "" };
        format!("{date}{how}; {cpu}, {cpus} CPUs; Linux {kernel}; load average at the start {load}.")
    }
}
