// SPDX-License-Identifier: MIT OR Apache-2.0
//! An error with all its causes in one line.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes, each once: some errors name their cause in their own words, others leave it to who
/// shows them.
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            if !said.contains(&words) {
                said = format!("{said}: {words}");
            }
            next = cause.source();
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the call failed")]
    struct Silent(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open it: {}: is it there?", Causes(.0))]
    struct Telling(#[source] Silent);

    #[test]
    fn every_cause_is_shown_and_none_twice() {
        let silent = Silent(io::Error::other("no such file"));
        assert_eq!(Causes(&silent).to_string(), "the call failed: no such file");
        let telling = anyhow::Error::new(Telling(silent)).context("show the Services");
        assert_eq!(
            Causes(telling.as_ref()).to_string(),
            "show the Services: cannot open it: the call failed: no such file: is it there?"
        );
    }
}
