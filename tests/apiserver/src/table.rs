// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as rows of a `Table`, which kubectl asks for when it prints for a person.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use crate::object::Object;
use crate::resource::Resource;
use crate::store::Notice;

/// Whether the client would rather have a table.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = accept.split(',').next().unwrap_or_default();
    first.contains("as=Table") && first.contains("v=v1;")
}

/// Objects as a table.
pub fn table(resource: Resource, objects: &[Arc<Object>], metadata: Value) -> Value {
    let columns = columns(resource);
    let definitions: Vec<_> = columns.iter().map(|c| definition(c.name)).collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|object| row(&columns, &object.value()))
        .collect();
    with_columns(&definitions, rows, metadata)
}

/// A watch event's object as a table of one row.
pub fn event(resource: Resource, notice: &Notice) -> Value {
    let columns = columns(resource);
    let definitions: Vec<_> = columns.iter().map(|c| definition(c.name)).collect();
    with_columns(
        &definitions,
        vec![row(&columns, &notice.object().value())],
        json!({}),
    )
}

/// A bookmark as a table without a row.
pub fn bookmark(mark: &Value) -> Value {
    with_columns(
        &[],
        Vec::new(),
        json!({"resourceVersion": mark["metadata"]["resourceVersion"]}),
    )
}

struct Column {
    name: &'static str,
    cell: fn(&Value) -> String,
}

fn columns(resource: Resource) -> Vec<Column> {
    let mut columns = vec![Column {
        name: "Name",
        cell: |o| text(&o["metadata"]["name"]),
    }];
    match resource {
        Resource::Services => columns.extend([
            Column {
                name: "Type",
                cell: |o| text(&o["spec"]["type"]),
            },
            Column {
                name: "Cluster-IP",
                cell: |o| text(&o["spec"]["clusterIP"]),
            },
            Column {
                name: "External-IP",
                cell: external_addresses,
            },
            Column {
                name: "Port(s)",
                cell: |o| joined(&o["spec"]["ports"], service_port),
            },
        ]),
        Resource::EndpointSlices => columns.extend([
            Column {
                name: "AddressType",
                cell: |o| text(&o["addressType"]),
            },
            Column {
                name: "Ports",
                cell: |o| joined(&o["ports"], |p| text(&p["port"])),
            },
            Column {
                name: "Endpoints",
                cell: |o| joined(&o["endpoints"], |e| text(&e["addresses"][0])),
            },
        ]),
        Resource::Events | Resource::EventsV1 => columns.extend([
            Column {
                name: "Type",
                cell: |o| text(&o["type"]),
            },
            Column {
                name: "Reason",
                cell: |o| text(&o["reason"]),
            },
            Column {
                name: "Message",
                cell: |o| either(&o["message"], &o["note"]),
            },
        ]),
        Resource::ServiceCidrs => {
            columns.push(Column {
                name: "CIDRs",
                cell: |o| joined(&o["spec"]["cidrs"], text),
            });
        }
        Resource::Namespaces | Resource::Nodes => {}
    }
    columns.push(Column {
        name: "Age",
        cell: |o| age(&o["metadata"]["creationTimestamp"]),
    });
    columns
}

fn definition(name: &str) -> Value {
    json!({"name": name, "type": "string", "format": if name == "Name" { "name" } else { "" },
           "description": "", "priority": 0})
}

fn row(columns: &[Column], object: &Value) -> Value {
    let cells: Vec<_> = columns.iter().map(|column| (column.cell)(object)).collect();
    json!({
        "cells": cells,
        "object": {
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        },
    })
}

fn with_columns(definitions: &[Value], rows: Vec<Value>, metadata: Value) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn either(first: &Value, second: &Value) -> String {
    text(if first.is_null() { second } else { first })
}

fn joined(list: &Value, one: impl Fn(&Value) -> String) -> String {
    match list.as_array() {
        Some(list) if !list.is_empty() => list.iter().map(one).collect::<Vec<_>>().join(","),
        _ => "<none>".to_owned(),
    }
}

fn external_addresses(service: &Value) -> String {
    let ingress = &service["status"]["loadBalancer"]["ingress"];
    if ingress.is_array() {
        return joined(ingress, |i| text(&i["ip"]));
    }
    joined(&service["spec"]["externalIPs"], text)
}

fn service_port(port: &Value) -> String {
    let node = port["nodePort"]
        .as_u64()
        .map(|n| format!(":{n}"))
        .unwrap_or_default();
    format!("{}{node}/{}", text(&port["port"]), text(&port["protocol"]))
}

fn age(created: &Value) -> String {
    let created = created
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let Some(created) = created else {
        return "<unknown>".to_owned();
    };
    let seconds = jiff::Timestamp::now().duration_since(created).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Revision, key_of};

    #[test]
    fn a_service_is_a_row_as_kubectl_prints_it() {
        let value = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "ports": [
                {"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053},
            ]},
        });
        let key = key_of(&value, "default").unwrap();
        let object = Arc::new(Object::new(key, Revision(3), value).unwrap());
        let table = table(Resource::Services, &[object], json!({}));
        let cells = [
            "web",
            "ClusterIP",
            "10.96.0.7",
            "<none>",
            "80/TCP,53:30053/UDP",
            "<unknown>",
        ];
        assert_eq!(table["rows"][0]["cells"], json!(cells));
        assert_eq!(table["columnDefinitions"].as_array().unwrap().len(), cells.len());
    }

    #[test]
    fn a_table_is_given_to_those_who_prefer_it() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(wanted(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        ));
        assert!(!wanted("application/json"));
        assert!(!wanted(
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        ));
    }
}
