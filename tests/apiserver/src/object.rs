// SPDX-License-Identifier: MIT OR Apache-2.0
//! One stored object: what selectors look at, and its JSON, serialised once however often it is sent.

use std::collections::BTreeMap;
use std::fmt;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resource::Resource;

/// A resourceVersion: one counter for the whole store, as etcd's revision is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the next write.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an object stands. Sorted as etcd sorts: resource, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub resource: Resource,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// A key; the namespace of a cluster-scoped resource is dropped.
    pub fn new(resource: Resource, namespace: &str, name: &str) -> Self {
        let namespace = if resource.spec().namespaced { namespace } else { "" };
        Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.resource, self.namespace, self.name)
    }
}

/// Why a JSON value is no object of a Kubernetes API.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// Not a JSON object, or its metadata is not one.
    #[error("object cannot be stored: it or its metadata is not a JSON object: give both as mappings")]
    NotAnObject,
    /// Without a name there is no key.
    #[error("object cannot be stored: metadata.name is missing: name it")]
    NoName,
    /// A type the fixture does not serve.
    #[error(
        "object cannot be stored: no resource for apiVersion {api_version:?}, kind {kind:?}: see Resource"
    )]
    UnknownType {
        /// As written in the object.
        api_version: String,
        /// As written in the object.
        kind: String,
    },
}

/// One stored version of an object.
#[derive(Debug)]
pub struct Object {
    /// Where it stands.
    pub key: Key,
    /// Its resourceVersion.
    pub revision: Revision,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The values of its selectable fields.
    pub fields: BTreeMap<&'static str, String>,
    /// Its JSON from behind the opening brace, without apiVersion and kind: list items lack these two, as
    /// a real server's do, and everything else sends them in front.
    body: Bytes,
}

impl Object {
    /// Stamps `revision` on `value` and serialises it.
    pub fn new(key: Key, revision: Revision, mut value: Value) -> Result<Self, ObjectError> {
        let map = value.as_object_mut().ok_or(ObjectError::NotAnObject)?;
        map.remove("apiVersion");
        map.remove("kind");
        metadata_mut(map)?.insert("resourceVersion".into(), revision.to_string().into());
        let labels = string_map(value.pointer("/metadata/labels"));
        let fields = selectable(&key, &value);
        let body = Bytes::from(value.to_string()).slice(1..);
        Ok(Self {
            key,
            revision,
            labels,
            fields,
            body,
        })
    }

    /// The object with its type, in the pieces it is sent in.
    pub fn full(&self) -> [Bytes; 2] {
        [
            Bytes::from_static(self.key.resource.spec().prefix.as_bytes()),
            self.body.clone(),
        ]
    }

    /// The object as a list item, in the pieces it is sent in.
    pub fn item(&self) -> [Bytes; 2] {
        [Bytes::from_static(b"{"), self.body.clone()]
    }

    /// The object as a value, with its type.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.full().concat()).unwrap_or(Value::Null)
    }

    /// The same object under another resourceVersion: how a deletion, or an object that left a selector,
    /// is reported.
    pub fn at(&self, revision: Revision) -> Result<Self, ObjectError> {
        Self::new(self.key.clone(), revision, self.value())
    }
}

/// The key of a full object; `namespace` is the one to use if it names none.
pub fn key_of(value: &Value, namespace: &str) -> Result<Key, ObjectError> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    let resource = Resource::by_kind(api_version, kind).ok_or_else(|| ObjectError::UnknownType {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    })?;
    let name = text("/metadata/name");
    if name.is_empty() {
        return Err(ObjectError::NoName);
    }
    let own = text("/metadata/namespace");
    Ok(Key::new(
        resource,
        if own.is_empty() { namespace } else { own },
        name,
    ))
}

/// The metadata of an object, made if it has none.
pub fn metadata_mut(object: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, ObjectError> {
    object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or(ObjectError::NotAnObject)
}

fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

fn selectable(key: &Key, value: &Value) -> BTreeMap<&'static str, String> {
    let mut fields = BTreeMap::from([
        ("metadata.name", key.name.clone()),
        ("metadata.namespace", key.namespace.clone()),
    ]);
    for (label, pointer) in key.resource.spec().fields {
        let text = match value.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        fields.insert(label, text);
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Object {
        let value = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"clusterIP": "10.96.0.7"},
        });
        Object::new(key_of(&value, "default").unwrap(), Revision(7), value).unwrap()
    }

    #[test]
    fn a_list_item_has_no_type_and_a_single_object_has() {
        let object = service();
        let item: Value = serde_json::from_slice(&object.item().concat()).unwrap();
        assert_eq!(item.get("kind"), None);
        assert_eq!(object.value()["kind"], "Service");
        assert_eq!(object.value()["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn labels_and_fields_for_selectors_are_extracted() {
        let object = service();
        assert_eq!(object.labels["app"], "web");
        assert_eq!(object.fields["spec.clusterIP"], "10.96.0.7");
        assert_eq!(object.fields["spec.type"], "");
        assert_eq!(object.fields["metadata.namespace"], "shop");
    }

    #[test]
    fn an_object_of_the_wrong_shape_is_stored_as_it_is() {
        let value = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "odd", "labels": 5}, "endpoints": 7,
        });
        let key = key_of(&value, "default").unwrap();
        let object = Object::new(key, Revision(1), value).unwrap();
        assert_eq!(object.value()["endpoints"], 7);
        assert!(object.labels.is_empty());
    }

    #[test]
    fn a_key_needs_a_known_type_and_a_name() {
        let unknown = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}});
        assert!(matches!(
            key_of(&unknown, "d"),
            Err(ObjectError::UnknownType { .. })
        ));
        let nameless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {}});
        assert_eq!(key_of(&nameless, "d"), Err(ObjectError::NoName));
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x"}});
        assert_eq!(key_of(&node, "d").unwrap().namespace, "");
    }
}
