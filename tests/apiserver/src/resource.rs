// SPDX-License-Identifier: MIT OR Apache-2.0
//! The resources the fixture serves, and what the API machinery knows about each.

use std::fmt;

/// A served resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// core/v1 nodes
    Nodes,
    /// core/v1 services
    Services,
    /// discovery.k8s.io/v1 endpointslices
    EndpointSlices,
    /// networking.k8s.io/v1 servicecidrs
    ServiceCidrs,
    /// events.k8s.io/v1 events
    Events,
}

/// What the API machinery knows about one resource.
#[derive(Debug)]
pub struct Spec {
    /// API group; empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// `kind` of one object.
    pub kind: &'static str,
    /// Path segment.
    pub plural: &'static str,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Selectable fields beside `metadata.name` and `metadata.namespace`: label and JSON pointer.
    pub fields: &'static [(&'static str, &'static str)],
    /// What stands before the body of an object: its type, with the opening brace.
    pub prefix: &'static str,
}

impl Resource {
    /// All of them, in the order in which objects are stored.
    pub const ALL: [Self; 5] = [
        Self::Nodes,
        Self::Services,
        Self::EndpointSlices,
        Self::ServiceCidrs,
        Self::Events,
    ];

    /// What the API machinery knows about it.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::Nodes => &NODES,
            Self::Services => &SERVICES,
            Self::Events => &EVENTS,
            Self::EndpointSlices => &ENDPOINT_SLICES,
            Self::ServiceCidrs => &SERVICE_CIDRS,
        }
    }

    /// The resource with this path segment in this group and version.
    pub fn by_path(group: &str, version: &str, plural: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|r| r.spec().group == group && r.spec().version == version && r.spec().plural == plural)
    }

    /// The resource of an object with this `apiVersion` and `kind`.
    pub fn by_kind(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|r| r.spec().kind == kind && r.spec().api_version() == api_version)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().plural)
    }
}

impl Spec {
    /// `apiVersion` of one object.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

static NODES: Spec = Spec {
    group: "",
    version: "v1",
    kind: "Node",
    plural: "nodes",
    namespaced: false,
    fields: &[("spec.unschedulable", "/spec/unschedulable")],
    prefix: r#"{"kind":"Node","apiVersion":"v1","#,
};

static SERVICES: Spec = Spec {
    group: "",
    version: "v1",
    kind: "Service",
    plural: "services",
    namespaced: true,
    fields: &[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")],
    prefix: r#"{"kind":"Service","apiVersion":"v1","#,
};

static ENDPOINT_SLICES: Spec = Spec {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
    namespaced: true,
    fields: &[],
    prefix: r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","#,
};

static SERVICE_CIDRS: Spec = Spec {
    group: "networking.k8s.io",
    version: "v1",
    kind: "ServiceCIDR",
    plural: "servicecidrs",
    namespaced: false,
    fields: &[],
    prefix: r#"{"kind":"ServiceCIDR","apiVersion":"networking.k8s.io/v1","#,
};

static EVENTS: Spec = Spec {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    plural: "events",
    namespaced: true,
    fields: &[("reason", "/reason"), ("type", "/type")],
    prefix: r#"{"kind":"Event","apiVersion":"events.k8s.io/v1","#,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_names_the_type_it_belongs_to() {
        for resource in Resource::ALL {
            let text = format!("{}\"x\":1}}", resource.spec().prefix);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["kind"], resource.spec().kind);
            assert_eq!(value["apiVersion"], resource.spec().api_version());
        }
    }

    #[test]
    fn a_resource_is_found_by_path_and_by_kind() {
        for resource in Resource::ALL {
            let spec = resource.spec();
            assert_eq!(
                Resource::by_path(spec.group, spec.version, spec.plural),
                Some(resource)
            );
            assert_eq!(Resource::by_kind(&spec.api_version(), spec.kind), Some(resource));
        }
        assert_eq!(Resource::by_path("apps", "v1", "deployments"), None);
    }
}
