// SPDX-License-Identifier: MIT OR Apache-2.0
//! An object that can be read even if it is malformed.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// Any JSON: one object that cannot be read must stop neither the list nor the watch that it comes in. (`kube`'s
/// `DeserializeGuard` still fails where the metadata cannot be read, and copies every object to find out.)
#[derive(Clone, Debug)]
pub(super) enum Guarded<K> {
    Good(K),
    Odd { metadata: Box<ObjectMeta>, why: String },
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match K::deserialize(&value) {
            Ok(object) => Self::Good(object),
            Err(failure) => Self::Odd {
                metadata: Box::new(salvaged(&value)),
                why: failure.to_string(),
            },
        })
    }
}

/// The part of an object that a watch needs even if the rest cannot be read.
fn salvaged(value: &Value) -> ObjectMeta {
    let text = |field: &str| {
        value
            .pointer(&format!("/metadata/{field}"))?
            .as_str()
            .map(str::to_owned)
    };
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Guarded<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(dynamic: &()) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &()) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &()) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &()) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Good(object) => object.meta(),
            Self::Odd { metadata, .. } => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Good(object) => object.meta_mut(),
            Self::Odd { metadata, .. } => metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_read_keeps_its_name() {
        let odd: Guarded<Service> = serde_json::from_value(json!({
            "metadata": { "name": "odd", "namespace": "default", "resourceVersion": "7", "labels": ["not", "a map"] },
            "spec": { "ports": "many" },
        }))
        .unwrap();
        assert!(matches!(&odd, Guarded::Odd { why, .. } if why.contains("labels") || why.contains("map")));
        assert_eq!(odd.meta().name.as_deref(), Some("odd"));
        assert_eq!(odd.meta().resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn any_json_is_an_object_of_a_watch() {
        for object in [json!(null), json!(7), json!([]), json!({ "metadata": "none" })] {
            let event: WatchEvent<Guarded<Service>> =
                serde_json::from_value(json!({ "type": "ADDED", "object": object })).unwrap();
            assert!(
                matches!(event, WatchEvent::Added(Guarded::Odd { .. })),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_good_object_is_just_that() {
        let object = json!({ "metadata": { "name": "web" }, "spec": { "clusterIP": "10.96.0.1" } });
        let good: Guarded<Service> = serde_json::from_value(object).unwrap();
        assert!(matches!(good, Guarded::Good(service) if service.spec.is_some()));
    }
}
