// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server does to an object that arrives by the API: defaults, a cluster IP, a few refusals.
//!
//! Objects put in by a test's own hand skip all this: they may be as odd as the test wants.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use crate::resource::Resource;
use crate::status::Status;

/// Fills in defaults and checks what a real server would refuse at once.
///
/// `earlier` is the object it replaces; `taken` tells whether a cluster IP is in use.
pub fn admit(
    resource: Resource,
    value: &mut Value,
    earlier: Option<&Value>,
    taken: &dyn Fn(IpAddr) -> bool,
) -> Result<(), Status> {
    match resource {
        Resource::Services => service(value, earlier, taken),
        Resource::EndpointSlices => endpoint_slice(value),
        _ => Ok(()),
    }
}

fn service(value: &mut Value, earlier: Option<&Value>, taken: &dyn Fn(IpAddr) -> bool) -> Result<(), Status> {
    let spec = mapping(value, "spec")?;
    default(spec, "type", "ClusterIP".into());
    default(spec, "sessionAffinity", "None".into());
    if spec["type"] == "ExternalName" {
        return Ok(());
    }
    default(spec, "internalTrafficPolicy", "Cluster".into());
    cluster_ip(spec, earlier.map(|e| &e["spec"]["clusterIP"]), taken)?;
    for port in sequence(spec, "ports")? {
        let port = port
            .as_object_mut()
            .ok_or_else(|| invalid("spec.ports[]", "must be a mapping"))?;
        let number = port
            .get("port")
            .and_then(Value::as_u64)
            .filter(|n| (1..=65535).contains(n));
        let number = number.ok_or_else(|| invalid("spec.ports[].port", "must be between 1 and 65535"))?;
        default(port, "protocol", "TCP".into());
        default(port, "targetPort", number.into());
    }
    let status = value
        .as_object_mut()
        .map(|map| map.entry("status").or_insert_with(|| json!({})));
    if let Some(Value::Object(status)) = status {
        default(status, "loadBalancer", json!({}));
    }
    Ok(())
}

fn cluster_ip(
    spec: &mut Map<String, Value>,
    earlier: Option<&Value>,
    taken: &dyn Fn(IpAddr) -> bool,
) -> Result<(), Status> {
    let given = |v: &Value| v.as_str().filter(|ip| !ip.is_empty()).map(str::to_owned);
    let earlier = earlier.and_then(given);
    let wanted = spec.get("clusterIP").and_then(given);
    let ip = match (wanted, earlier) {
        (Some(wanted), Some(earlier)) if wanted != earlier => {
            return Err(invalid("spec.clusterIP", "field is immutable"));
        }
        (Some(ip), _) | (None, Some(ip)) => ip,
        (None, None) => free_address(taken)?,
    };
    spec.insert("clusterIP".into(), ip.as_str().into());
    default(spec, "clusterIPs", json!([ip]));
    if let Ok(address) = ip.parse::<IpAddr>() {
        default(
            spec,
            "ipFamilies",
            json!([if address.is_ipv4() { "IPv4" } else { "IPv6" }]),
        );
        default(spec, "ipFamilyPolicy", "SingleStack".into());
    }
    Ok(())
}

/// The first free address of 10.96.0.0/16 above the ones that clusters give to known Services by hand.
fn free_address(taken: &dyn Fn(IpAddr) -> bool) -> Result<String, Status> {
    let base = u32::from(Ipv4Addr::new(10, 96, 0, 0));
    (0x100..0xffff)
        .map(|offset| Ipv4Addr::from(base + offset))
        .find(|ip| !taken(IpAddr::V4(*ip)))
        .map(|ip| ip.to_string())
        .ok_or_else(|| Status::new(500, "failed to allocate IP address: range is full"))
}

fn endpoint_slice(value: &mut Value) -> Result<(), Status> {
    let kind = value
        .get("addressType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !["IPv4", "IPv6", "FQDN"].contains(&kind) {
        return Err(invalid("addressType", "must be IPv4, IPv6 or FQDN"));
    }
    let map = value
        .as_object_mut()
        .ok_or_else(|| invalid("object", "must be a mapping"))?;
    sequence(map, "endpoints")?;
    for port in sequence(map, "ports")? {
        let port = port
            .as_object_mut()
            .ok_or_else(|| invalid("ports[]", "must be a mapping"))?;
        default(port, "name", "".into());
        default(port, "protocol", "TCP".into());
    }
    Ok(())
}

fn default(map: &mut Map<String, Value>, field: &str, value: Value) {
    let have = map.entry(field).or_insert(Value::Null);
    if have.is_null() {
        *have = value;
    }
}

fn mapping<'a>(value: &'a mut Value, field: &str) -> Result<&'a mut Map<String, Value>, Status> {
    value
        .get_mut(field)
        .and_then(Value::as_object_mut)
        .ok_or_else(|| invalid(field, "must be a mapping"))
}

fn sequence<'a>(map: &'a mut Map<String, Value>, field: &str) -> Result<&'a mut Vec<Value>, Status> {
    let list = map.entry(field).or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut()
        .ok_or_else(|| invalid(field, "must be a list"))
}

fn invalid(field: &str, why: &str) -> Status {
    Status::new(422, format!("object is invalid: {field}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(resource: Resource, mut value: Value, earlier: Option<&Value>) -> Result<Value, Status> {
        let taken = |ip: IpAddr| ip == IpAddr::from([10, 96, 1, 0]);
        admit(resource, &mut value, earlier, &taken).map(|()| value)
    }

    #[test]
    fn a_service_gets_a_free_address_and_the_usual_defaults() {
        let value = admitted(
            Resource::Services,
            json!({"spec": {"ports": [{"port": 80}]}}),
            None,
        )
        .unwrap();
        assert_eq!(value["spec"]["clusterIP"], "10.96.1.1");
        assert_eq!(value["spec"]["clusterIPs"], json!(["10.96.1.1"]));
        assert_eq!(value["spec"]["ipFamilies"], json!(["IPv4"]));
        assert_eq!(
            value["spec"]["ports"][0],
            json!({"port": 80, "protocol": "TCP", "targetPort": 80})
        );
        assert_eq!(value["status"]["loadBalancer"], json!({}));
    }

    #[test]
    fn an_update_keeps_the_address_and_may_not_change_it() {
        let earlier = json!({"spec": {"clusterIP": "10.96.0.9"}});
        let kept = admitted(Resource::Services, json!({"spec": {}}), Some(&earlier)).unwrap();
        assert_eq!(kept["spec"]["clusterIP"], "10.96.0.9");
        let changed = json!({"spec": {"clusterIP": "10.96.0.10"}});
        assert_eq!(
            admitted(Resource::Services, changed, Some(&earlier))
                .unwrap_err()
                .code,
            422
        );
    }

    #[test]
    fn headless_and_external_name_services_get_no_address() {
        let headless = json!({"spec": {"clusterIP": "None"}});
        assert_eq!(
            admitted(Resource::Services, headless, None).unwrap()["spec"]["clusterIP"],
            "None"
        );
        let external = json!({"spec": {"type": "ExternalName", "externalName": "example.org"}});
        assert_eq!(
            admitted(Resource::Services, external, None).unwrap()["spec"].get("clusterIP"),
            None
        );
    }

    #[test]
    fn what_a_real_server_refuses_is_refused() {
        for (resource, value) in [
            (Resource::Services, json!({})),
            (Resource::Services, json!({"spec": {"ports": "80"}})),
            (Resource::Services, json!({"spec": {"ports": [{"port": 0}]}})),
            (Resource::EndpointSlices, json!({"endpoints": []})),
            (
                Resource::EndpointSlices,
                json!({"addressType": "IPv4", "endpoints": 7}),
            ),
        ] {
            assert_eq!(
                admitted(resource, value.clone(), None).unwrap_err().code,
                422,
                "{value}"
            );
        }
    }
}
