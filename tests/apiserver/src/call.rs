// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request asks for, read from its method, path and query alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::object::Key;
use crate::options::Options;
use crate::resource::Resource;
use crate::status::Status;

/// A verb as RBAC knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Remove one.
    Delete,
    /// Remove many.
    DeleteCollection,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        })
    }
}

/// A call on a resource.
#[derive(Clone, Debug)]
pub struct Call {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub resource: Resource,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The name in the path.
    pub name: Option<String>,
    /// Whether the `status` subresource is meant.
    pub status: bool,
    /// The query.
    pub options: Options,
}

impl Call {
    /// The object that the path names, if it names one.
    pub fn key(&self) -> Option<Key> {
        let name = self.name.as_deref()?;
        Some(Key::new(
            self.resource,
            self.namespace.as_deref().unwrap_or_default(),
            name,
        ))
    }
}

/// Everything that can be asked for.
#[derive(Debug)]
pub enum Target {
    /// A call on a resource.
    Call(Box<Call>),
    /// A document about the server itself: `/version`, `/apis`, `/openapi/v3`, `/readyz` and so on.
    Document(String),
}

/// Reads method, path and query.
pub fn target(method: &str, path: &str, query: &str) -> Result<Target, Status> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Target::Document(path.trim_end_matches('/').to_owned())),
    };
    let place = place(rest).ok_or_else(Status::no_such_path)?;
    let resource = Resource::by_path(group, version, place.plural).ok_or_else(Status::no_such_path)?;
    if place
        .subresource
        .is_some_and(|sub| sub != "status" || !resource.spec().status)
    {
        return Err(Status::no_such_path());
    }
    let mut options = Options::parse(query, resource)?;
    if place.namespace.is_some() && !resource.spec().namespaced {
        return Err(Status::no_such_path());
    }
    let verb = verb(method, place.name, &mut options)?;
    Ok(Target::Call(Box::new(Call {
        verb,
        resource,
        namespace: place.namespace.map(str::to_owned),
        name: place.name.map(str::to_owned),
        status: place.subresource.is_some(),
        options,
    })))
}

struct Place<'a> {
    namespace: Option<&'a str>,
    plural: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

fn place<'a>(parts: &[&'a str]) -> Option<Place<'a>> {
    let of = |namespace, plural, name, subresource| {
        Some(Place {
            namespace,
            plural,
            name,
            subresource,
        })
    };
    match *parts {
        // `namespaces/x` is an object, `namespaces/x/status` its status, and anything else a list within.
        ["namespaces", name, "status"] => of(None, "namespaces", Some(name), Some("status")),
        ["namespaces", namespace, plural] => of(Some(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => of(Some(namespace), plural, Some(name), None),
        ["namespaces", namespace, plural, name, sub] => of(Some(namespace), plural, Some(name), Some(sub)),
        [plural] => of(None, plural, None, None),
        [plural, name] => of(None, plural, Some(name), None),
        [plural, name, sub] => of(None, plural, Some(name), Some(sub)),
        _ => None,
    }
}

fn verb(method: &str, name: Option<&str>, options: &mut Options) -> Result<Verb, Status> {
    Ok(match (method, name) {
        ("GET", Some(name)) if options.watch => {
            options.only(name)?;
            Verb::Watch
        }
        ("GET", None) if options.watch => Verb::Watch,
        ("GET", None) => Verb::List,
        ("GET", Some(_)) => Verb::Get,
        ("POST", None) => Verb::Create,
        ("PUT", Some(_)) => Verb::Update,
        ("PATCH", Some(_)) => Verb::Patch,
        ("DELETE", Some(_)) => Verb::Delete,
        ("DELETE", None) => Verb::DeleteCollection,
        _ => {
            return Err(Status::new(
                405,
                "the server does not allow this method on the requested resource",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str, query: &str) -> Call {
        match target(method, path, query).unwrap() {
            Target::Call(call) => *call,
            Target::Document(path) => panic!("a document: {path}"),
        }
    }

    #[test]
    fn paths_name_resource_namespace_object_and_subresource() {
        let all = call("GET", "/api/v1/services", "");
        assert_eq!(
            (all.verb, all.resource, all.namespace),
            (Verb::List, Resource::Services, None)
        );

        let one = call(
            "GET",
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1",
            "",
        );
        assert_eq!(one.verb, Verb::Get);
        assert_eq!(
            one.key(),
            Some(Key::new(Resource::EndpointSlices, "shop", "web-1"))
        );

        let status = call("PUT", "/api/v1/nodes/n1/status", "");
        assert_eq!(
            (status.verb, status.status, status.resource),
            (Verb::Update, true, Resource::Nodes)
        );

        let namespace = call("GET", "/api/v1/namespaces/shop", "");
        assert_eq!(namespace.key(), Some(Key::new(Resource::Namespaces, "", "shop")));
    }

    #[test]
    fn methods_become_verbs() {
        assert_eq!(call("GET", "/api/v1/services", "watch=true").verb, Verb::Watch);
        assert_eq!(
            call("POST", "/api/v1/namespaces/a/services", "").verb,
            Verb::Create
        );
        assert_eq!(
            call("PATCH", "/api/v1/namespaces/a/services/b", "").verb,
            Verb::Patch
        );
        assert_eq!(
            call("DELETE", "/api/v1/namespaces/a/services/b", "").verb,
            Verb::Delete
        );
        assert_eq!(
            call("DELETE", "/api/v1/namespaces/a/services", "").verb,
            Verb::DeleteCollection
        );
        assert_eq!(
            target("POST", "/api/v1/namespaces/a/services/b", "")
                .unwrap_err()
                .code,
            405
        );
    }

    #[test]
    fn what_is_not_served_is_not_found() {
        for path in [
            "/api/v1/pods",
            "/apis/apps/v1/deployments",
            "/api/v1/namespaces/a/services/b/scale",
        ] {
            assert_eq!(target("GET", path, "").unwrap_err().code, 404, "{path}");
        }
        assert_eq!(
            target("GET", "/api/v1/namespaces/a/nodes", "").unwrap_err().code,
            404
        );
    }

    #[test]
    fn everything_else_is_a_document() {
        for path in [
            "/version",
            "/api",
            "/apis",
            "/api/v1",
            "/apis/discovery.k8s.io/v1",
            "/openapi/v3/api/v1",
        ] {
            let Target::Document(named) = target("GET", path, "").unwrap() else {
                panic!("{path}")
            };
            assert_eq!(named, path);
        }
    }
}
