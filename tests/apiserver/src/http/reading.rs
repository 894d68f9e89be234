// SPDX-License-Identifier: MIT OR Apache-2.0
//! GET of one object, and lists.

use std::io;

use futures::stream;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::json;

use super::body::{Body, Frames, streamed, whole};
use crate::call::Call;
use crate::fault::Moment;
use crate::shared::{Shared, lock};
use crate::status::Status;
use crate::store::{ListQuery, Page};

/// GET of one object.
pub(super) fn get(shared: &Shared, call: &Call) -> Result<Response<Body>, Status> {
    let key = call.key().ok_or_else(Status::no_such_path)?;
    let object = shared
        .read(|store| store.get(&key).cloned())
        .ok_or_else(|| Status::not_found(&key))?;
    Ok(whole(200, object.full().concat().into()))
}

/// GET of a collection.
pub(super) fn list(shared: &Shared, call: &Call) -> Result<Response<Body>, Status> {
    let page = shared.read(|store| store.list(&query(call)?).map_err(Status::from))?;
    let mut frames: Vec<_> = frames(call, &page).into_iter().map(Ok).collect();
    if lock(&shared.faults)
        .strike(Moment::ListBody, call.verb, call.resource)
        .is_some()
    {
        cut(&mut frames);
    }
    Ok(streamed(stream::iter(frames)))
}

fn query(call: &Call) -> Result<ListQuery, Status> {
    Ok(ListQuery {
        resource: call.resource,
        namespace: call.namespace.clone(),
        selector: call.options.selector.clone(),
        version: call.options.list_version()?,
        limit: call.options.limit,
        continuation: call.options.continuation.clone(),
    })
}

fn frames(call: &Call, page: &Page) -> Vec<Bytes> {
    let spec = call.resource.spec();
    let (kind, api_version, metadata) = (spec.kind, spec.api_version(), metadata(page));
    let head =
        format!(r#"{{"kind":"{kind}List","apiVersion":"{api_version}","metadata":{metadata},"items":["#);
    let mut frames = Frames::default();
    frames.push(head.as_bytes());
    for (at, object) in page.items.iter().enumerate() {
        if at > 0 {
            frames.push(b",");
        }
        for piece in object.item() {
            frames.push(&piece);
        }
    }
    frames.push(b"]}\n");
    frames.take()
}

fn metadata(page: &Page) -> serde_json::Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(continuation) = &page.continuation {
        metadata["continue"] = continuation.encode().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}

/// Ends the body in the middle of its last frame, and breaks the connection.
fn cut(frames: &mut Vec<Result<Bytes, io::Error>>) {
    if let Some(Ok(last)) = frames.pop() {
        frames.push(Ok(last.slice(..last.len() / 2)));
    }
    frames.push(Err(io::Error::other("list cut on demand")));
}
