// SPDX-License-Identifier: MIT OR Apache-2.0
//! POST, PUT, PATCH and DELETE.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::body::{Body, json as answer_json, whole};
use crate::call::{Call, Verb};
use crate::fixture::now;
use crate::manifests::yaml;
use crate::patch::PatchKind;
use crate::shared::Shared;
use crate::status::Status;
use crate::write::{Written, create, delete, delete_collection, patch, update};

/// What a real server takes at most.
const LIMIT: usize = 3 * 1024 * 1024;

/// Carries out a writing verb.
pub(super) async fn write(
    shared: &Shared,
    call: &Call,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let content = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let content = content.split(';').next().unwrap_or_default().trim().to_owned();
    let body = Limited::new(request.into_body(), LIMIT).collect().await;
    let body = body
        .map_err(|why| Status::new(400, format!("body cannot be read: {why}")))?
        .to_bytes();
    let now = now();
    match call.verb {
        Verb::Create => {
            let value = parse(&content, &body)?;
            shared
                .write(|store| create(store, call, value, &now))
                .map(written)
        }
        Verb::Update => {
            let value = parse(&content, &body)?;
            shared
                .write(|store| update(store, call, value, &now))
                .map(written)
        }
        Verb::Patch => {
            let (kind, upsert) = patch_kind(&content)?;
            let value = parse(&content, &body)?;
            shared
                .write(|store| patch(store, call, kind, upsert, &value, &now))
                .map(written)
        }
        Verb::Delete => shared
            .write(|store| delete(store, call))
            .map(|object| whole(200, object.full().concat().into())),
        Verb::DeleteCollection => {
            let gone = shared.write(|store| delete_collection(store, call))?;
            let items: Vec<Value> = gone.iter().map(|object| object.value()).collect();
            let spec = call.resource.spec();
            let list = json!({
                "kind": format!("{}List", spec.kind), "apiVersion": spec.api_version(),
                "metadata": {}, "items": items,
            });
            Ok(answer_json(200, &list))
        }
        Verb::Get | Verb::List | Verb::Watch => Err(Status::no_such_path()),
    }
}

fn written(written: Written) -> Response<Body> {
    whole(written.code, written.object.full().concat().into())
}

fn parse(content: &str, body: &Bytes) -> Result<Value, Status> {
    let malformed = |why: String| Status::new(400, format!("object cannot be decoded: {why}"));
    if content.contains("yaml") {
        let text = std::str::from_utf8(body).map_err(|why| malformed(why.to_string()))?;
        return serde_saphyr::from_str_with_options(text, yaml()).map_err(|why| malformed(why.to_string()));
    }
    if content.contains("protobuf") {
        return Err(Status::new(
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
        ));
    }
    serde_json::from_slice(body).map_err(|why| malformed(why.to_string()))
}

/// How to merge, and whether a missing object is to be made.
fn patch_kind(content: &str) -> Result<(PatchKind, bool), Status> {
    match content {
        "application/merge-patch+json" => Ok((PatchKind::Merge, false)),
        "application/strategic-merge-patch+json" => Ok((PatchKind::Strategic, false)),
        "application/apply-patch+yaml" => Ok((PatchKind::Strategic, true)),
        other => Err(Status::new(
            415,
            format!("patches of type {other:?} are not supported: send a merge patch"),
        )),
    }
}
