// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patches: JSON merge patch (RFC 7386), and as much of strategic merge as the served types need.

use serde_json::{Map, Value};

use crate::resource::Resource;

/// How lists are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/merge-patch+json`: a list replaces a list.
    Merge,
    /// `application/strategic-merge-patch+json` and server-side apply: lists with a merge key are merged
    /// by it. Directives are understood as far as `$patch: delete`; the order of elements is not restored.
    Strategic,
}

/// Applies `patch` to an object of `resource`.
pub fn apply(kind: PatchKind, resource: Resource, target: &mut Value, patch: &Value) {
    Merge { kind, resource }.value(target, patch, "");
}

struct Merge {
    kind: PatchKind,
    resource: Resource,
}

impl Merge {
    fn value(&self, target: &mut Value, patch: &Value, field: &str) {
        match patch {
            Value::Object(patch) => {
                if !target.is_object() {
                    *target = Value::Object(Map::new());
                }
                if let Value::Object(target) = target {
                    self.map(target, patch);
                }
            }
            Value::Array(patch) => match (self.merge_key(field), target) {
                (Some(key), Value::Array(target)) => self.list(target, patch, key),
                (_, target) => *target = patch.iter().filter(|p| !is_deletion(p)).cloned().collect(),
            },
            scalar => *target = scalar.clone(),
        }
    }

    fn map(&self, target: &mut Map<String, Value>, patch: &Map<String, Value>) {
        for (field, value) in patch {
            let directive = self.kind == PatchKind::Strategic && field.starts_with('$');
            if directive {
                continue;
            }
            if value.is_null() {
                target.remove(field);
            } else {
                self.value(target.entry(field.clone()).or_insert(Value::Null), value, field);
            }
        }
    }

    /// The merge key of the list in `field`, as the `patchMergeKey` of the Go types has it.
    fn merge_key(&self, field: &str) -> Option<&'static str> {
        if self.kind == PatchKind::Merge {
            return None;
        }
        match (self.resource, field) {
            (Resource::Services, "ports") => Some("port"),
            (Resource::Nodes, "addresses") | (_, "conditions") => Some("type"),
            _ => None,
        }
    }

    fn list(&self, target: &mut Vec<Value>, patch: &[Value], key: &str) {
        for wanted in patch {
            let same = |have: &Value| {
                have.get(key).is_some() && have.get(key) == wanted.get(key) && protocols_agree(have, wanted)
            };
            if is_deletion(wanted) {
                target.retain(|have| !same(have));
            } else if let Some(have) = target.iter_mut().find(|have| same(have)) {
                self.value(have, wanted, "");
            } else {
                target.push(wanted.clone());
            }
        }
    }
}

/// Two ports of a Service may share the number and differ in protocol.
fn protocols_agree(a: &Value, b: &Value) -> bool {
    match (a.get("protocol"), b.get("protocol")) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

fn is_deletion(value: &Value) -> bool {
    value.get("$patch").is_some_and(|directive| directive == "delete")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(kind: PatchKind, mut target: Value, patch: &Value) -> Value {
        apply(kind, Resource::Services, &mut target, patch);
        target
    }

    #[test]
    fn a_merge_patch_sets_adds_and_removes() {
        let target = json!({"a": 1, "b": {"c": 2, "d": 3}, "l": [1, 2]});
        let patch = json!({"a": null, "b": {"c": 9}, "l": [3], "n": {"x": null, "y": 1}});
        let want = json!({"b": {"c": 9, "d": 3}, "l": [3], "n": {"y": 1}});
        assert_eq!(patched(PatchKind::Merge, target, &patch), want);
    }

    #[test]
    fn a_strategic_patch_merges_service_ports_by_number() {
        let target = json!({"ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
        let patch = json!({
            "$setElementOrder/ports": [{"port": 80}, {"port": 443}],
            "ports": [{"port": 80, "targetPort": 9090}, {"port": 443}],
        });
        let want = json!({"ports": [{"name": "http", "port": 80, "targetPort": 9090}, {"port": 443}]});
        assert_eq!(patched(PatchKind::Strategic, target, &patch), want);
    }

    #[test]
    fn one_port_number_with_two_protocols_stays_two_ports() {
        let target = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
        let patch = json!({"ports": [{"port": 53, "protocol": "TCP", "targetPort": 5353}]});
        let patched = patched(PatchKind::Strategic, target, &patch);
        assert_eq!(patched["ports"][0], json!({"port": 53, "protocol": "UDP"}));
        assert_eq!(patched["ports"][1]["targetPort"], 5353);
    }

    #[test]
    fn a_strategic_deletion_takes_one_element() {
        let target = json!({"ports": [{"port": 80}, {"port": 443}]});
        let patch = json!({"ports": [{"$patch": "delete", "port": 80}]});
        assert_eq!(
            patched(PatchKind::Strategic, target, &patch),
            json!({"ports": [{"port": 443}]})
        );
    }

    #[test]
    fn lists_without_a_merge_key_are_replaced() {
        let target = json!({"endpoints": [{"addresses": ["10.0.0.1"]}]});
        let patch = json!({"endpoints": [{"addresses": ["10.0.0.2"]}]});
        assert_eq!(patched(PatchKind::Strategic, target, &patch), patch);
    }
}
