// SPDX-License-Identifier: MIT OR Apache-2.0
//! The writing verbs: what a create, update, patch or delete makes of the store.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::admission::admit;
use crate::call::Call;
use crate::object::{Key, Object, key_of, metadata_mut};
use crate::patch::{self, PatchKind};
use crate::resource::Resource;
use crate::status::Status;
use crate::store::{ListQuery, Store};

/// What a write came to.
#[derive(Debug)]
pub struct Written {
    /// 200 or 201.
    pub code: u16,
    /// The object as stored, or as it would be.
    pub object: Arc<Object>,
}

/// POST to a collection.
pub fn create(store: &mut Store, call: &Call, mut body: Value, now: &str) -> Result<Written, Status> {
    give_type(call.resource, &mut body);
    give_name(store, &mut body)?;
    let key = key_for(call, &body)?;
    if store.get(&key).is_some() {
        let message = format!("{} {:?} already exists", key.resource, key.name);
        return Err(Status {
            reason: "AlreadyExists",
            ..Status::new(409, message)
        });
    }
    commit(store, call, key, body, None, now).map(|object| Written { code: 201, object })
}

/// PUT to an object.
pub fn update(store: &mut Store, call: &Call, mut body: Value, now: &str) -> Result<Written, Status> {
    give_type(call.resource, &mut body);
    let key = key_for(call, &body)?;
    let earlier = store.get(&key).ok_or_else(|| Status::not_found(&key))?.value();
    check_precondition(&key, &earlier, &body)?;
    let body = if call.status {
        with_status(earlier.clone(), &body)
    } else {
        with_status(body, &earlier)
    };
    commit(store, call, key, body, Some(&earlier), now).map(|object| Written { code: 200, object })
}

/// PATCH to an object; `upsert` makes a missing one, as server-side apply does.
pub fn patch(
    store: &mut Store,
    call: &Call,
    kind: PatchKind,
    upsert: bool,
    body: &Value,
    now: &str,
) -> Result<Written, Status> {
    let key = call.key().ok_or_else(Status::no_such_path)?;
    let Some(earlier) = store.get(&key).map(|object| object.value()) else {
        if upsert {
            return create(store, call, body.clone(), now);
        }
        return Err(Status::not_found(&key));
    };
    check_precondition(&key, &earlier, body)?;
    let mut value = earlier.clone();
    patch::apply(kind, key.resource, &mut value, body);
    give_type(key.resource, &mut value);
    let value = if call.status {
        with_status(earlier.clone(), &value)
    } else {
        value
    };
    commit(store, call, key, value, Some(&earlier), now).map(|object| Written { code: 200, object })
}

/// DELETE of an object: its last state.
pub fn delete(store: &mut Store, call: &Call) -> Result<Arc<Object>, Status> {
    let key = call.key().ok_or_else(Status::no_such_path)?;
    let found = store.get(&key).cloned().ok_or_else(|| Status::not_found(&key))?;
    if call.options.dry_run {
        return Ok(found);
    }
    store.remove(&key).ok_or_else(|| Status::not_found(&key))
}

/// DELETE of a collection: the last states of what was deleted.
pub fn delete_collection(store: &mut Store, call: &Call) -> Result<Vec<Arc<Object>>, Status> {
    let query = ListQuery {
        namespace: call.namespace.clone(),
        selector: call.options.selector.clone(),
        ..ListQuery::all(call.resource)
    };
    let items = store.list(&query)?.items;
    if call.options.dry_run {
        return Ok(items);
    }
    Ok(items
        .iter()
        .filter_map(|object| store.remove(&object.key))
        .collect())
}

/// Stores an object of a manifest, made or replaced, with the defaults of the API.
pub fn store_manifest(store: &mut Store, mut value: Value, now: &str) -> Result<Arc<Object>, Status> {
    let key = key_of(&value, "default")?;
    let earlier = store.get(&key).map(|object| object.value());
    admit(
        key.resource,
        &mut value,
        earlier.as_ref(),
        &taken(store, &OnceCell::new()),
    )?;
    Ok(store.put(key, value, now)?)
}

fn commit(
    store: &mut Store,
    call: &Call,
    key: Key,
    mut value: Value,
    earlier: Option<&Value>,
    now: &str,
) -> Result<Arc<Object>, Status> {
    admit(key.resource, &mut value, earlier, &taken(store, &OnceCell::new()))?;
    if call.options.dry_run {
        return Ok(store.draft(&key, value, now)?);
    }
    Ok(store.put(key, value, now)?)
}

/// Whether a cluster IP is in use; the set is made only if somebody asks.
fn taken<'a>(store: &'a Store, used: &'a OnceCell<BTreeSet<IpAddr>>) -> impl Fn(IpAddr) -> bool + 'a {
    let gather = || {
        let services = store
            .objects()
            .filter(|object| object.key.resource == Resource::Services);
        services
            .filter_map(|object| object.fields.get("spec.clusterIP")?.parse().ok())
            .collect()
    };
    move |ip| used.get_or_init(gather).contains(&ip)
}

fn key_for(call: &Call, body: &Value) -> Result<Key, Status> {
    let key = key_of(body, call.namespace.as_deref().unwrap_or("default"))?;
    let mismatch = |what: &str| Status::new(400, format!("the {what} of the object does not match the URL"));
    if key.resource != call.resource {
        return Err(mismatch("kind"));
    }
    if call.name.as_ref().is_some_and(|name| *name != key.name) {
        return Err(mismatch("name"));
    }
    let namespaced = key.resource.spec().namespaced;
    if namespaced
        && call
            .namespace
            .as_ref()
            .is_some_and(|namespace| *namespace != key.namespace)
    {
        return Err(mismatch("namespace"));
    }
    Ok(key)
}

/// Clients may leave the type out, as the path says it.
fn give_type(resource: Resource, body: &mut Value) {
    if let Some(map) = body.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| resource.spec().api_version().into());
        map.entry("kind").or_insert_with(|| resource.spec().kind.into());
    }
}

fn give_name(store: &Store, body: &mut Value) -> Result<(), Status> {
    let Some(map) = body.as_object_mut() else {
        return Ok(());
    };
    let metadata = metadata_mut(map)?;
    if metadata
        .get("name")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
        && let Some(prefix) = metadata.get("generateName").and_then(Value::as_str)
    {
        let name = format!("{prefix}{:05x}", store.revision().0);
        metadata.insert("name".into(), name.into());
    }
    Ok(())
}

fn check_precondition(key: &Key, earlier: &Value, body: &Value) -> Result<(), Status> {
    let version = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    match version(body) {
        Some(asked) if !asked.is_empty() && Some(&asked) != version(earlier).as_ref() => {
            let message = format!(
                "Operation cannot be fulfilled on {} {:?}: the object has been modified; please apply \
                 your changes to the latest version and try again",
                key.resource, key.name
            );
            Err(Status::new(409, message))
        }
        _ => Ok(()),
    }
}

/// `value` with the status of `other`.
fn with_status(mut value: Value, other: &Value) -> Value {
    if let (Some(map), Some(status)) = (value.as_object_mut(), other.get("status")) {
        map.insert("status".into(), status.clone());
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::{Target, target};

    const NOW: &str = "2026-01-01T00:00:00Z";
    const SERVICES: &str = "/api/v1/namespaces/shop/services";
    const WEB: &str = "/api/v1/namespaces/shop/services/web";

    fn call(method: &str, path: &str, query: &str) -> Call {
        match target(method, path, query).unwrap() {
            Target::Call(call) => *call,
            Target::Document(_) => panic!("{path} is a document"),
        }
    }

    fn web() -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
    }

    fn with_web() -> Store {
        let mut store = Store::new(100);
        create(&mut store, &call("POST", SERVICES, ""), web(), NOW).unwrap();
        store
    }

    #[test]
    fn a_create_takes_type_and_namespace_from_the_path() {
        let store = with_web();
        let object = store
            .get(&Key::new(Resource::Services, "shop", "web"))
            .unwrap()
            .value();
        assert_eq!(object["kind"], "Service");
        assert_eq!(object["metadata"]["namespace"], "shop");
        assert_eq!(object["metadata"]["creationTimestamp"], NOW);
        assert_eq!(object["spec"]["clusterIP"], "10.96.1.0");
    }

    #[test]
    fn a_second_create_is_refused() {
        let mut store = with_web();
        let refused = create(&mut store, &call("POST", SERVICES, ""), web(), NOW).unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "AlreadyExists"));
    }

    #[test]
    fn two_services_get_two_addresses() {
        let mut store = with_web();
        let mut other = web();
        other["metadata"] = json!({"generateName": "other-"});
        let made = create(&mut store, &call("POST", SERVICES, ""), other, NOW)
            .unwrap()
            .object;
        assert!(made.key.name.starts_with("other-0"));
        assert_eq!(made.fields["spec.clusterIP"], "10.96.1.1");
    }

    #[test]
    fn an_update_of_an_old_version_is_a_conflict() {
        let mut store = with_web();
        let mut stale = web();
        stale["metadata"]["resourceVersion"] = "1".into();
        assert_eq!(
            update(&mut store, &call("PUT", WEB, ""), stale, NOW)
                .unwrap_err()
                .code,
            409
        );
        assert_eq!(
            update(&mut store, &call("PUT", WEB, ""), web(), NOW)
                .unwrap()
                .code,
            200
        );
    }

    #[test]
    fn spec_and_status_are_updated_apart() {
        let mut store = with_web();
        let mut changed = web();
        changed["spec"]["sessionAffinity"] = "ClientIP".into();
        changed["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        let status = update(
            &mut store,
            &call("PUT", &format!("{WEB}/status"), ""),
            changed.clone(),
            NOW,
        );
        let status = status.unwrap().object.value();
        assert_eq!(status["spec"]["sessionAffinity"], "None");
        assert_eq!(status["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");

        changed["status"] = json!({});
        let spec = update(&mut store, &call("PUT", WEB, ""), changed, NOW)
            .unwrap()
            .object
            .value();
        assert_eq!(spec["spec"]["sessionAffinity"], "ClientIP");
        assert_eq!(spec["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_apply_makes_what_is_missing() {
        let mut store = with_web();
        let label = json!({"metadata": {"labels": {"a": "b"}}});
        let patched = patch(
            &mut store,
            &call("PATCH", WEB, ""),
            PatchKind::Merge,
            false,
            &label,
            NOW,
        );
        assert_eq!(patched.unwrap().object.labels["a"], "b");

        let mut other = web();
        other["metadata"]["name"] = "other".into();
        let path = call("PATCH", &format!("{SERVICES}/other"), "");
        assert_eq!(
            patch(&mut store, &path, PatchKind::Merge, false, &other, NOW)
                .unwrap_err()
                .code,
            404
        );
        assert_eq!(
            patch(&mut store, &path, PatchKind::Strategic, true, &other, NOW)
                .unwrap()
                .code,
            201
        );
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let mut store = with_web();
        let before = store.revision();
        delete(&mut store, &call("DELETE", WEB, "dryRun=All")).unwrap();
        let label = json!({"metadata": {"labels": {"a": "b"}}});
        let dry = call("PATCH", WEB, "dryRun=All");
        assert_eq!(
            patch(&mut store, &dry, PatchKind::Merge, false, &label, NOW)
                .unwrap()
                .object
                .labels["a"],
            "b"
        );
        assert_eq!(store.revision(), before);
    }

    #[test]
    fn a_collection_is_deleted_by_selector() {
        let mut store = with_web();
        let none = call("DELETE", SERVICES, "labelSelector=app%3Dx");
        assert!(delete_collection(&mut store, &none).unwrap().is_empty());
        assert_eq!(
            delete_collection(&mut store, &call("DELETE", SERVICES, ""))
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            delete(&mut store, &call("DELETE", WEB, "")).unwrap_err().code,
            404
        );
    }

    #[test]
    fn an_object_that_does_not_match_its_path_is_refused() {
        let mut store = with_web();
        let mut elsewhere = web();
        elsewhere["metadata"]["namespace"] = "other".into();
        assert_eq!(
            create(&mut store, &call("POST", SERVICES, ""), elsewhere, NOW)
                .unwrap_err()
                .code,
            400
        );
    }
}
