// SPDX-License-Identifier: MIT OR Apache-2.0
//! Field selectors: `field=value`, `field!=value`, joined by commas; only fields the resource offers.

use std::collections::BTreeMap;

use crate::resource::Resource;

/// All terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: &'static str,
    equal: bool,
    value: String,
}

/// Why a text is no field selector of a resource.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldSelectorError {
    /// Neither `=` nor `!=`.
    #[error("invalid selector: {0:?}: it has no operator: write field=value or field!=value")]
    NoOperator(String),
    /// A real server refuses these as well, in these words.
    #[error("field label not supported: {0}")]
    UnknownField(String),
}

impl FieldSelector {
    /// Reads the value of `fieldSelector`; empty selects everything.
    pub fn parse(text: &str, resource: Resource) -> Result<Self, FieldSelectorError> {
        let terms = text.split(',').map(str::trim).filter(|t| !t.is_empty());
        terms
            .map(|t| term(t, resource))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an object with these values is selected; a field it lacks counts as empty.
    pub fn matches(&self, fields: &BTreeMap<&'static str, String>) -> bool {
        self.0
            .iter()
            .all(|t| (fields.get(t.field).map_or("", String::as_str) == t.value) == t.equal)
    }
}

fn term(text: &str, resource: Resource) -> Result<Term, FieldSelectorError> {
    let (field, equal, value) = if let Some((field, value)) = text.split_once("!=") {
        (field, false, value)
    } else if let Some((field, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (field, true, value)
    } else {
        return Err(FieldSelectorError::NoOperator(text.to_owned()));
    };
    let known = resource.spec().fields.iter().map(|(label, _)| *label);
    let mut known = known.chain(["metadata.name", "metadata.namespace"]);
    let field = known
        .find(|label| *label == field.trim())
        .ok_or_else(|| FieldSelectorError::UnknownField(field.trim().to_owned()))?;
    Ok(Term {
        field,
        equal,
        value: value.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, fields: &[(&'static str, &str)]) -> bool {
        let fields = fields.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        FieldSelector::parse(selector, Resource::Services)
            .unwrap()
            .matches(&fields)
    }

    #[test]
    fn terms_are_joined_by_commas() {
        let web = &[("metadata.name", "web"), ("spec.clusterIP", "10.96.0.7")];
        assert!(matches("", web));
        assert!(matches("metadata.name=web", web));
        assert!(matches("metadata.name==web,spec.clusterIP!=None", web));
        assert!(!matches("metadata.name=web,spec.clusterIP!=10.96.0.7", web));
    }

    #[test]
    fn a_headless_service_is_left_out_and_one_without_an_address_is_not() {
        assert!(!matches("spec.clusterIP!=None", &[("spec.clusterIP", "None")]));
        assert!(matches("spec.clusterIP!=None", &[]));
    }

    #[test]
    fn only_offered_fields_can_be_selected() {
        let refused = FieldSelector::parse("spec.externalName=x", Resource::Services).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "field label not supported: spec.externalName"
        );
        assert!(FieldSelector::parse("metadata.name", Resource::Services).is_err());
    }
}
