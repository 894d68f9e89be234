// SPDX-License-Identifier: MIT OR Apache-2.0
//! Label selectors: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas.

use std::collections::{BTreeMap, BTreeSet};

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

/// Why a text is no label selector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unable to parse requirement {requirement:?}: {why}: write it as k=v, k!=v, k in (v), k notin (v), k or !k"
)]
pub struct LabelSelectorError {
    /// The part that is wrong.
    pub requirement: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl LabelSelector {
    /// Reads the value of `labelSelector`; empty selects everything.
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        split_outside_parentheses(text)
            .into_iter()
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            // An object without the label is "not in" as well.
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(text: &str) -> Result<Requirement, LabelSelectorError> {
    let text = text.trim();
    let wrong = |why| LabelSelectorError {
        requirement: text.to_owned(),
        why,
    };
    let checked = |key: &str| {
        let key = key.trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if key.is_empty() || !key.chars().all(legal) {
            Err(wrong("bad label key"))
        } else {
            Ok(key.to_owned())
        }
    };
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    if let Some((key, values)) = set_operator(text, " notin ") {
        return Ok(Requirement::NotIn(
            checked(key)?,
            values.ok_or_else(|| wrong("values need parentheses"))?,
        ));
    }
    if let Some((key, values)) = set_operator(text, " in ") {
        return Ok(Requirement::In(
            checked(key)?,
            values.ok_or_else(|| wrong("values need parentheses"))?,
        ));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(checked(key)?, one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(checked(key)?, one(value)));
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(Requirement::DoesNotExist(checked(key)?)),
        None => Ok(Requirement::Exists(checked(text)?)),
    }
}

/// `key OPERATOR (a,b)` as key and values; the values are `None` if the parentheses are missing.
fn set_operator<'a>(text: &'a str, operator: &str) -> Option<(&'a str, Option<BTreeSet<String>>)> {
    // `k in(v)` is legal too.
    let spaced = text.split_once(operator);
    let (key, rest) = spaced.or_else(|| {
        text.split_once(&format!("{}(", operator.trim_end()))
            .map(|(k, _)| (k, &text[k.len() + operator.trim_end().len()..]))
    })?;
    let inner = rest.trim().strip_prefix('(').and_then(|r| r.strip_suffix(')'));
    Some((
        key,
        inner.map(|list| list.split(',').map(|v| v.trim().to_owned()).collect()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        LabelSelector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn nothing_selects_everything() {
        assert!(matches("", &[]));
        assert!(matches("  ", &[("a", "b")]));
    }

    #[test]
    fn equality() {
        assert!(matches("a=b", &[("a", "b")]));
        assert!(matches("a==b", &[("a", "b")]));
        assert!(!matches("a=b", &[("a", "c")]));
        assert!(!matches("a=b", &[]));
        assert!(matches("a=", &[("a", "")]));
    }

    #[test]
    fn inequality_holds_for_an_object_without_the_label() {
        assert!(matches("a!=b", &[]));
        assert!(matches("a!=b", &[("a", "c")]));
        assert!(!matches("a!=b", &[("a", "b")]));
    }

    #[test]
    fn sets() {
        assert!(matches("a in (b, c)", &[("a", "c")]));
        assert!(matches("a in(b)", &[("a", "b")]));
        assert!(!matches("a in (b,c)", &[("a", "d")]));
        assert!(!matches("a in (b,c)", &[]));
        assert!(matches("a notin (b,c)", &[("a", "d")]));
        assert!(matches("a notin (b,c)", &[]));
        assert!(!matches("a notin (b,c)", &[("a", "b")]));
    }

    #[test]
    fn existence() {
        assert!(matches("a", &[("a", "")]));
        assert!(!matches("a", &[]));
        assert!(matches("!a", &[]));
        assert!(!matches("!a", &[("a", "x")]));
    }

    #[test]
    fn the_selector_of_kube_proxy() {
        let selector = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
        assert!(matches(selector, &[("app", "web")]));
        assert!(!matches(selector, &[("service.kubernetes.io/headless", "")]));
        assert!(!matches(
            selector,
            &[("service.kubernetes.io/service-proxy-name", "other")]
        ));
    }

    #[test]
    fn commas_join_and_all_must_hold() {
        assert!(matches("a in (x,y),b=1,!c", &[("a", "y"), ("b", "1")]));
        assert!(!matches(
            "a in (x,y),b=1,!c",
            &[("a", "y"), ("b", "1"), ("c", "")]
        ));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a in b", "=b", "a b", "a,,b", "!"] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }
}
