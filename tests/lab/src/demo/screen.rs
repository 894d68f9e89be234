// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demo's output: plain lines in aligned columns, with a little colour on a terminal.

use std::io::IsTerminal;

#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
}

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    Heading,
    Faint,
    Changed,
    Good,
}

impl Screen {
    /// Colours only for a person who did not ask for none.
    pub(super) fn of_stdout() -> Self {
        Self {
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn chapter(&self, title: &str) {
        println!("\n{}", self.paint(Tone::Heading, title));
    }

    pub(super) fn say(&self, text: &str) {
        println!("  {text}");
    }

    /// Columns of these widths; the last one is free.
    pub(super) fn row(&self, widths: &[usize], cells: &[&str], tone: Option<Tone>) {
        let padded = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| match widths.get(column) {
                Some(&width) => format!("{cell:<width$}"),
                None => (*cell).to_owned(),
            });
        let line = padded.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        println!(
            "  {}",
            tone.map_or_else(|| line.to_owned(), |tone| self.paint(tone, line))
        );
    }

    pub(super) fn summary(&self, text: &str) {
        println!("\n{} {text}", self.paint(Tone::Good, "Everything held:"));
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Heading => "1",
            Tone::Faint => "2",
            Tone::Changed => "36",
            Tone::Good => "1;32",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
