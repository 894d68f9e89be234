// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places in a Markdown file that the bench writes to: between `<!-- bench: NAME -->` and `<!-- bench end -->`.

use anyhow::Context as _;

const END: &str = "<!-- bench end -->";

/// The text, with what stands at the place replaced.
pub(super) fn fill(text: &str, place: &str, content: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- bench: {place} -->");
    let (before, rest) = text
        .split_once(&begin)
        .with_context(|| format!("the document has no place {begin}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the document has no {END} after {begin}"))?;
    Ok(format!("{before}{begin}\n{}\n{END}{after}", content.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = "a\n<!-- bench: x -->\nold\n<!-- bench end -->\nb\n";
        let filled = fill(text, "x", "new\n").unwrap();
        assert_eq!(filled, "a\n<!-- bench: x -->\nnew\n<!-- bench end -->\nb\n");
        assert_eq!(fill(&filled, "x", "new").unwrap(), filled);
        assert!(fill(text, "y", "new").is_err());
    }
}
