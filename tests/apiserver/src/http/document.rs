// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents about the server itself: health, version, discovery.

use std::collections::BTreeSet;

use hyper::Response;
use serde_json::{Value, json};

use super::body::{Body, json as answer_json, whole};
use super::refuse;
use crate::resource::{Resource, Spec};
use crate::status::Status;

const OBJECT_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Whether a document is shown to those who do not say who they are.
pub(super) fn is_open_to_all(path: &str) -> bool {
    matches!(
        path.trim_end_matches('/'),
        "/healthz" | "/livez" | "/readyz" | "/version"
    )
}

/// The document at `path`.
pub(super) fn serve(path: &str) -> Response<Body> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let document = match parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => return whole(200, "ok".into()),
        ["version"] => Some(version()),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => Some(json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups().into_iter().map(group).collect::<Vec<_>>(),
        })),
        ["apis", name] => groups().into_iter().find(|g| g == name).map(group),
        ["api", version] => resources("", version),
        ["apis", group, version] => resources(group, version),
        ["openapi", "v3"] => Some(openapi_index()),
        ["openapi", "v3", "api", version] => openapi("", version),
        ["openapi", "v3", "apis", group, version] => openapi(group, version),
        _ => None,
    };
    match document {
        Some(document) => answer_json(200, &document),
        None => refuse(&Status::no_such_path()),
    }
}

/// The version that clients see: they choose their ways by it.
fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.0-shunt-fixture", "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none",
        "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn groups() -> BTreeSet<&'static str> {
    Resource::ALL
        .into_iter()
        .map(|r| r.spec().group)
        .filter(|group| !group.is_empty())
        .collect()
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": name,
        "versions": [version.clone()], "preferredVersion": version,
    })
}

fn served(group: &str, version: &str) -> Vec<&'static Spec> {
    let specs = Resource::ALL.into_iter().map(Resource::spec);
    specs
        .filter(|spec| spec.group == group && spec.version == version)
        .collect()
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let specs = served(group, version);
    let first = specs.first()?;
    let mut resources = Vec::new();
    for spec in &specs {
        resources.push(json!({
            "name": spec.plural, "singularName": spec.singular, "namespaced": spec.namespaced,
            "kind": spec.kind, "verbs": OBJECT_VERBS, "shortNames": spec.short,
        }));
        if spec.status {
            resources.push(json!({
                "name": format!("{}/status", spec.plural), "singularName": "",
                "namespaced": spec.namespaced, "kind": spec.kind, "verbs": ["patch", "update"],
            }));
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": first.api_version(), "resources": resources,
    }))
}

fn openapi_index() -> Value {
    let mut paths = serde_json::Map::new();
    for spec in Resource::ALL.map(Resource::spec) {
        let root = root(spec);
        paths.insert(
            root.clone(),
            json!({"serverRelativeURL": format!("/openapi/v3/{root}")}),
        );
    }
    json!({"paths": paths})
}

/// Just enough for kubectl to find that fields are validated by the server, so that it does not ask for
/// the schemas.
fn openapi(group: &str, version: &str) -> Option<Value> {
    let specs = served(group, version);
    specs.first()?;
    let mut paths = serde_json::Map::new();
    for spec in specs {
        let scope = if spec.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let path = format!("/{}/{scope}{}/{{name}}", root(spec), spec.plural);
        let parameters = json!([{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]);
        let kind = json!({"group": spec.group, "version": spec.version, "kind": spec.kind});
        paths.insert(
            path,
            json!({
                "patch": {"parameters": parameters, "x-kubernetes-group-version-kind": kind, "responses": {}},
            }),
        );
    }
    Some(json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.37.0"}, "paths": paths}))
}

fn root(spec: &Spec) -> String {
    if spec.group.is_empty() {
        format!("api/{}", spec.version)
    } else {
        format!("apis/{}/{}", spec.group, spec.version)
    }
}
