// SPDX-License-Identifier: MIT OR Apache-2.0
//! The writing verbs that an agent uses: it creates Events, and patches one that happens again. Tests change objects
//! through [`Fixture`](crate::Fixture), which does not check them.

use std::sync::Arc;

use serde_json::Value;

use crate::call::Call;
use crate::object::{Key, Object, key_of};
use crate::resource::Resource;
use crate::status::Status;
use crate::store::Store;

/// POST to a collection.
pub fn create(store: &mut Store, call: &Call, mut body: Value, now: &str) -> Result<Arc<Object>, Status> {
    give_type(call.resource, &mut body);
    let key = key_for(call, &body)?;
    if store.get(&key).is_some() {
        let message = format!("{} {:?} already exists", key.resource, key.name);
        return Err(Status {
            reason: "AlreadyExists",
            ..Status::new(409, message)
        });
    }
    Ok(store.put(key, body, now)?)
}

/// PATCH of an object by a JSON merge patch (RFC 7386).
pub fn patch(store: &mut Store, call: &Call, body: &Value, now: &str) -> Result<Arc<Object>, Status> {
    let key = call.key().ok_or_else(Status::no_such_path)?;
    let mut value = store.get(&key).ok_or_else(|| Status::not_found(&key))?.value();
    json_patch::merge(&mut value, body);
    Ok(store.put(key, value, now)?)
}

/// The key of a new object, which must agree with the path.
fn key_for(call: &Call, body: &Value) -> Result<Key, Status> {
    let namespace = call.namespace.as_deref().unwrap_or("default");
    let key = key_of(body, namespace)?;
    let mismatch = |what: &str| Status::new(400, format!("the {what} of the object does not match the URL"));
    if key.resource != call.resource {
        return Err(mismatch("kind"));
    }
    if key.resource.spec().namespaced && key.namespace != namespace {
        return Err(mismatch("namespace"));
    }
    Ok(key)
}

/// Clients may leave the type out: the path has it.
fn give_type(resource: Resource, body: &mut Value) {
    if let Some(map) = body.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| resource.spec().api_version().into());
        map.entry("kind").or_insert_with(|| resource.spec().kind.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::call;

    const NOW: &str = "2026-01-01T00:00:00Z";
    const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
    const ONE: &str = "/apis/events.k8s.io/v1/namespaces/shop/events/one";

    fn one() -> Value {
        json!({"metadata": {"name": "one"}, "reason": "MapFull", "note": "no room"})
    }

    fn with_one() -> Store {
        let mut store = Store::new(100);
        create(&mut store, &call("POST", EVENTS, "").unwrap(), one(), NOW).unwrap();
        store
    }

    #[test]
    fn a_create_takes_type_and_namespace_from_the_path() {
        let key = Key::new(Resource::Events, "shop", "one");
        let object = with_one().get(&key).unwrap().value();
        assert_eq!(object["kind"], "Event");
        assert_eq!(object["metadata"]["namespace"], "shop");
        assert_eq!(object["metadata"]["creationTimestamp"], NOW);
    }

    #[test]
    fn a_second_create_is_refused() {
        let refused = create(&mut with_one(), &call("POST", EVENTS, "").unwrap(), one(), NOW).unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "AlreadyExists"));
    }

    #[test]
    fn an_object_that_does_not_match_its_path_is_refused() {
        let mut elsewhere = one();
        elsewhere["metadata"]["namespace"] = "other".into();
        let call = call("POST", EVENTS, "").unwrap();
        assert_eq!(
            create(&mut with_one(), &call, elsewhere, NOW).unwrap_err().code,
            400
        );
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let mut store = with_one();
        let again = json!({"series": {"count": 2}, "note": null});
        let patched = patch(&mut store, &call("PATCH", ONE, "").unwrap(), &again, NOW);
        let patched = patched.unwrap().value();
        assert_eq!(patched["series"]["count"], 2);
        assert_eq!(patched["reason"], "MapFull");
        assert_eq!(patched.get("note"), None);

        let missing = call("PATCH", &format!("{EVENTS}/other"), "").unwrap();
        assert_eq!(patch(&mut store, &missing, &again, NOW).unwrap_err().code, 404);
    }
}
