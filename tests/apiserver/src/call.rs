// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request asks for, read from its method, path and query alone.

use std::fmt;

use crate::object::Key;
use crate::options::Options;
use crate::resource::Resource;
use crate::status::Status;

/// A verb as RBAC knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Change one.
    Patch,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
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

/// Reads method, path and query.
pub fn call(method: &str, path: &str, query: &str) -> Result<Call, Status> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Err(Status::no_such_path()),
    };
    let place = place(rest).ok_or_else(Status::no_such_path)?;
    let resource = Resource::by_path(group, version, place.plural).ok_or_else(Status::no_such_path)?;
    let mut options = Options::parse(query, resource)?;
    if place.namespace.is_some() && !resource.spec().namespaced {
        return Err(Status::no_such_path());
    }
    let verb = verb(method, place.name, &mut options)?;
    Ok(Call {
        verb,
        resource,
        namespace: place.namespace.map(str::to_owned),
        name: place.name.map(str::to_owned),
        options,
    })
}

struct Place<'a> {
    namespace: Option<&'a str>,
    plural: &'a str,
    name: Option<&'a str>,
}

fn place<'a>(parts: &[&'a str]) -> Option<Place<'a>> {
    let (namespace, plural, name) = match *parts {
        ["namespaces", namespace, plural] => (Some(namespace), plural, None),
        ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name)),
        [plural] => (None, plural, None),
        [plural, name] => (None, plural, Some(name)),
        _ => return None,
    };
    Some(Place {
        namespace,
        plural,
        name,
    })
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
        ("PATCH", Some(_)) => Verb::Patch,
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

    #[test]
    fn paths_name_resource_namespace_and_object() {
        let all = call("GET", "/api/v1/services", "").unwrap();
        assert_eq!(
            (all.verb, all.resource, all.namespace),
            (Verb::List, Resource::Services, None)
        );

        let one = call(
            "GET",
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1",
            "",
        )
        .unwrap();
        assert_eq!(one.verb, Verb::Get);
        assert_eq!(
            one.key(),
            Some(Key::new(Resource::EndpointSlices, "shop", "web-1"))
        );
    }

    #[test]
    fn methods_become_verbs() {
        assert_eq!(
            call("GET", "/api/v1/services", "watch=true").unwrap().verb,
            Verb::Watch
        );
        assert_eq!(
            call("POST", "/api/v1/namespaces/a/services", "").unwrap().verb,
            Verb::Create
        );
        assert_eq!(
            call("PATCH", "/api/v1/namespaces/a/services/b", "").unwrap().verb,
            Verb::Patch
        );
        assert_eq!(
            call("POST", "/api/v1/namespaces/a/services/b", "")
                .unwrap_err()
                .code,
            405
        );
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "/version",
            "/api/v1/pods",
            "/apis/apps/v1/deployments",
            "/api/v1/namespaces/a/services/b/scale",
        ] {
            assert_eq!(call("GET", path, "").unwrap_err().code, 404, "{path}");
        }
        assert_eq!(
            call("GET", "/api/v1/namespaces/a/nodes", "").unwrap_err().code,
            404
        );
    }
}
