// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names, labels and annotations of API objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::NamespacedName;

/// Nodes are in no namespace; anything else without one is in `default`.
pub fn name_of(metadata: &ObjectMeta, namespaced: bool) -> NamespacedName {
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    NamespacedName::new(
        if namespaced { namespace } else { "" },
        metadata.name.as_deref().unwrap_or(""),
    )
}

pub(super) fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    value(metadata.labels.as_ref(), name)
}

pub(super) fn value<'a>(map: Option<&'a BTreeMap<String, String>>, name: &str) -> Option<&'a str> {
    map?.get(name).map(String::as_str)
}
