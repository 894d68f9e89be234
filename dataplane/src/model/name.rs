// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of objects, and of Service ports, by which the kernel's maps are organised.

use std::fmt;
use std::sync::Arc;

use super::Protocol;

/// `namespace/name` of an object. Cloning copies two pointers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

pub type ServiceName = NamespacedName;
pub type SliceName = NamespacedName;

impl NamespacedName {
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One port of one Service: what has an id in the kernel, its own backends and its own affinity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName {
    pub service: ServiceName,
    /// Empty for the one port of a Service that need not name it.
    pub port: Arc<str>,
    pub protocol: Protocol,
}

impl ServicePortName {
    /// The longest [`Self::label`] that the parser accepts: three DNS labels and two separators.
    pub const MAX_LABEL: usize = 3 * 63 + 2;

    /// The name as the kernel holds it, beside the protocol: `namespace/name:port`, or `namespace/name` where
    /// the port has no name.
    pub fn label(&self) -> String {
        if self.port.is_empty() {
            self.service.to_string()
        } else {
            format!("{}:{}", self.service, self.port)
        }
    }

    /// Reads a label back. Any text gives *some* name: one that no Service can have is an entry to remove, not
    /// an error to stop at.
    pub fn from_label(label: &str, protocol: Protocol) -> Self {
        let (namespace, rest) = label.split_once('/').unwrap_or(("", label));
        let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
        Self {
            service: ServiceName::new(namespace, name),
            port: port.into(),
            protocol,
        }
    }
}

impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.label(), self.protocol)
    }
}

/// The kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Service,
    EndpointSlice,
    Node,
    ServiceCidr,
    /// A file of the manifest directory, or a document in it that is of none of the kinds above.
    Manifest,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::ServiceCidr => "ServiceCIDR",
            Self::Manifest => "manifest",
        }
    }
}

/// An object by kind and name, as logs, metrics and status print it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    pub kind: Kind,
    /// Empty for objects that live in no namespace.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectRef {
    pub fn new(kind: Kind, name: &NamespacedName) -> Self {
        Self {
            kind,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if self.namespace.is_empty() {
            write!(f, " {}", self.name)
        } else {
            write!(f, " {}/{}", self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back_as_the_name_it_was_made_from() {
        for (port, label) in [("http", "default/web:http"), ("", "default/web")] {
            let name = ServicePortName {
                service: ServiceName::new("default", "web"),
                port: port.into(),
                protocol: Protocol::Tcp,
            };
            assert_eq!(name.label(), label);
            assert_eq!(ServicePortName::from_label(label, Protocol::Tcp), name);
        }
    }

    #[test]
    fn a_label_that_no_service_can_have_still_reads() {
        let name = ServicePortName::from_label("\u{fffd}garbage", Protocol::Udp);
        assert_eq!(&*name.service.namespace, "");
    }
}
