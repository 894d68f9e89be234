// SPDX-License-Identifier: MIT OR Apache-2.0
//! A manifest file: documents, each of them an object or a list of objects.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use serde_json::Value;

use super::super::watched::Watched;
use crate::index::Parsed;
use crate::index::parse::Parser;
use crate::model::{Kind, NamespacedName, Node, ObjectRef, Reason, Service, ServiceCidr, Slice};

/// An object, by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) name: NamespacedName,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ObjectRef::new(self.kind, &self.name).fmt(f)
    }
}

/// An object of one of the kinds that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Service(Parsed<Service>),
    Slice(Parsed<Slice>),
    Node(Parsed<Node>),
    ServiceCidr(Parsed<ServiceCidr>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) objects: BTreeMap<Key, Object>,
    /// Errors of the file, or of documents that have no name.
    pub(super) reasons: Vec<Reason>,
}

/// Whether a file of this name is read.
pub(super) fn is_manifest(name: &str) -> bool {
    let extension = Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str());
    !name.starts_with('.') && matches!(extension, Some("yaml" | "yml" | "json"))
}

impl File {
    /// One bad document leaves the others alone.
    pub(super) fn parse(name: &str, text: &str, parser: &Parser) -> Self {
        let mut file = Self::default();
        if name.ends_with(".json") {
            for (at, value) in serde_json::Deserializer::from_str(text)
                .into_iter::<Value>()
                .enumerate()
            {
                file.add_document(at + 1, value.map_err(|failure| failure.to_string()), parser);
            }
        } else {
            for (at, text) in documents(text).into_iter().enumerate() {
                file.add_document(at + 1, yaml(&text), parser);
            }
        }
        file
    }

    pub(super) fn unreadable(why: String) -> Self {
        Self {
            objects: BTreeMap::new(),
            reasons: vec![Reason::Unreadable(why)],
        }
    }

    fn add_document(&mut self, number: usize, value: Result<Value, String>, parser: &Parser) {
        match value {
            Ok(Value::Null) => {}
            Ok(value) => self.add(&format!("document {number}"), &value, None, parser),
            Err(why) => self
                .reasons
                .push(Reason::Unreadable(format!("document {number}: {why}"))),
        }
    }

    /// `listed` is the kind of the items of a typed list: they need not repeat it.
    fn add(&mut self, place: &str, value: &Value, listed: Option<(&str, &str)>, parser: &Parser) {
        let text = |field| value.get(field).and_then(Value::as_str);
        let version = text("apiVersion").or(listed.map(|(version, _)| version));
        let kind = text("kind").or(listed.map(|(_, kind)| kind));
        let (Some(version), Some(kind)) = (version, kind) else {
            let why = format!("{place}: no apiVersion and kind");
            return self.reasons.push(Reason::Unreadable(why));
        };
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), value.get("items")) {
            let listed = (!of.is_empty()).then_some((version, of));
            for (at, item) in items.as_array().into_iter().flatten().enumerate() {
                self.add(&format!("{place}, item {}", at + 1), item, listed, parser);
            }
            return;
        }
        match (version, kind) {
            ("v1", "Service") => self.put::<core::Service>(place, value, parser, Object::Service),
            ("v1", "Node") => self.put::<core::Node>(place, value, parser, Object::Node),
            ("discovery.k8s.io/v1", "EndpointSlice") => {
                self.put::<discovery::EndpointSlice>(place, value, parser, Object::Slice);
            }
            ("networking.k8s.io/v1", "ServiceCIDR") => {
                self.put::<networking::ServiceCIDR>(place, value, parser, Object::ServiceCidr);
            }
            // Manifests of applications have Deployments and much else; those are for others.
            _ => {}
        }
    }

    fn put<K: Watched>(
        &mut self,
        place: &str,
        value: &Value,
        parser: &Parser,
        wrap: fn(Parsed<K::Model>) -> Object,
    ) {
        let object = match K::deserialize(value) {
            Ok(object) => object,
            Err(failure) => {
                let name = value
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or("without a name");
                let why = format!("{place}: {} {name}: {failure}", K::KIND.as_str());
                return self.reasons.push(Reason::Unreadable(why));
            }
        };
        let key = Key {
            kind: K::KIND,
            name: object.name(),
        };
        if key.name.name.is_empty() {
            let why = format!("{place}: {} without a name", K::KIND.as_str());
            return self.reasons.push(Reason::Unreadable(why));
        }
        if self.objects.contains_key(&key) {
            let winner = "an earlier document of the same file".to_owned();
            return self.reasons.push(Reason::DefinedTwice {
                object: key.to_string(),
                winner,
            });
        }
        self.objects.insert(key, wrap(object.parse(parser)));
    }
}

/// Parted by hand, so that one that cannot be read does not hide those after it. In YAML a line that begins with
/// `---` and a space or its end is never anything else.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if let Some(rest) = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        {
            documents.push(rest.to_owned());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
        }
        if let Some(document) = documents.last_mut() {
            document.push('\n');
        }
    }
    documents
}

fn yaml(text: &str) -> Result<Value, String> {
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(blank) {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|failure| failure.without_snippet().to_string())
}
