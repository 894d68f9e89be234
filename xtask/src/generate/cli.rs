// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/cli.md`: the help of `shunt` and of each of its subcommands, as the program itself prints it.

use std::path::Path;
use std::process::Command;

use crate::build::{self, Profile};
use crate::command;
use crate::workspace::Workspace;

const HEAD: &str = "# The command line\n\n\
    Made by `cargo xtask gen` from the program's own help; do not edit.\n";

pub(super) fn markdown(workspace: &Workspace) -> anyhow::Result<String> {
    let shunt = build::run(workspace, Profile::Debug)?.shunt;
    let mut text = HEAD.to_owned();
    append(&shunt, &mut Vec::new(), &mut text)?;
    Ok(text)
}

/// Appends the help of one command, then of its subcommands.
fn append(shunt: &Path, words: &mut Vec<String>, text: &mut String) -> anyhow::Result<()> {
    // Without COLUMNS the width is the terminal's. Without the environment, no value of this machine gets in.
    let mut help = Command::new(shunt);
    let help = command::capture(help.args(&*words).arg("--help").env_clear().env("COLUMNS", "100"))?;
    let title = std::iter::once("shunt")
        .chain(words.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let depth = "#".repeat(words.len().min(2) + 2);
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    text.push_str(&format!(
        "\n{depth} `{title}`\n\n```text\n{}\n```\n",
        help.trim_end()
    ));
    for subcommand in subcommands(&help) {
        words.push(subcommand);
        append(shunt, words, text)?;
        words.pop();
    }
    Ok(())
}

/// The names in clap's `Commands:` section: the words that are indented by two.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with("  "))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_read_from_clap_help_without_the_help_command() {
        let help = "Routes Services.\n\nUsage: shunt <COMMAND>\n\nCommands:\n  run      Runs the agent,\n           \
                    in the foreground\n  status   Shows it\n  help     Print this\n\nOptions:\n  -h, --help  Print help";
        assert_eq!(subcommands(help), ["run", "status"]);
        assert_eq!(
            subcommands("Usage: shunt status\n\nOptions:\n  -h"),
            Vec::<String>::new()
        );
    }
}
