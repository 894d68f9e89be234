// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes to the real server, over its API.

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Real, RealError};
use crate::access::User;
use crate::object::{Key, key_of};

const RBAC: &str = "rbac.authorization.k8s.io";

impl Real {
    /// Makes or replaces an object, and its namespace.
    pub fn put(&self, mut object: Value) -> Result<(), RealError> {
        let key = key_of(&object, "default")?;
        let spec = key.resource.spec();
        if spec.namespaced {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.namespace}});
            self.apply(
                Place::new("", "Namespace", "namespaces", ""),
                &key.namespace,
                namespace,
            )?;
            object["metadata"]["namespace"] = key.namespace.as_str().into();
        }
        self.apply(Place::of(&key), &key.name, object)
    }

    /// Deletes an object; tells whether it was there.
    pub fn delete(&self, key: &Key) -> Result<bool, RealError> {
        let (api, name) = (self.api(Place::of(key)), key.name.clone());
        match self.run(async move { api.delete(&name, &DeleteParams::default()).await }) {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(why) => Err(Box::new(why).into()),
        }
    }

    /// The agent gets the role that kube-proxy has, which the server makes by itself.
    pub(super) fn bind_role(&self) -> Result<(), RealError> {
        let binding = json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "shunt"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:node-proxier"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": User::Agent.name()}],
        });
        self.apply(
            Place::new(RBAC, "ClusterRoleBinding", "clusterrolebindings", ""),
            "shunt",
            binding,
        )
    }

    /// Server-side apply by one manager: what an object no longer names goes away, as with a replacement.
    fn apply(&self, place: Place<'_>, name: &str, object: Value) -> Result<(), RealError> {
        let (api, name) = (self.api(place), name.to_owned());
        let params = PatchParams::apply("shunt-suite").force();
        let applied = self.run(async move { api.patch(&name, &params, &Patch::Apply(object)).await });
        applied.map(drop).map_err(|why| Box::new(why).into())
    }

    fn api(&self, place: Place<'_>) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(place.group, "v1", place.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, place.plural);
        match place.namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    group: &'a str,
    kind: &'a str,
    plural: &'a str,
    namespace: &'a str,
}

impl<'a> Place<'a> {
    fn new(group: &'a str, kind: &'a str, plural: &'a str, namespace: &'a str) -> Self {
        Self {
            group,
            kind,
            plural,
            namespace,
        }
    }

    fn of(key: &'a Key) -> Self {
        let spec = key.resource.spec();
        Self::new(spec.group, spec.kind, spec.plural, &key.namespace)
    }
}
