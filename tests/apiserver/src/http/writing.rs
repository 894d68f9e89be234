// SPDX-License-Identifier: MIT OR Apache-2.0
//! POST and PATCH.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use serde_json::Value;

use super::body::{Body, whole};
use crate::call::{Call, Verb};
use crate::fixture::now;
use crate::shared::Shared;
use crate::status::Status;
use crate::write::{create, patch};

/// The size limit of a real server.
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
    let wanted = match call.verb {
        Verb::Patch => "application/merge-patch+json",
        _ => "application/json",
    };
    if content.split(';').next().unwrap_or_default().trim() != wanted {
        return Err(Status::new(
            415,
            format!("{content:?} is not served: send {wanted}"),
        ));
    }
    let body = Limited::new(request.into_body(), LIMIT).collect().await;
    let body = body
        .map_err(|why| Status::new(400, format!("body cannot be read: {why}")))?
        .to_bytes();
    let value: Value = serde_json::from_slice(&body)
        .map_err(|why| Status::new(400, format!("object cannot be decoded: {why}")))?;
    let now = now();
    let (code, object) = match call.verb {
        Verb::Create => (201, shared.write(|store| create(store, call, value, &now))?),
        Verb::Patch => (200, shared.write(|store| patch(store, call, &value, &now))?),
        Verb::Get | Verb::List | Verb::Watch => return Err(Status::no_such_path()),
    };
    Ok(whole(code, object.full().concat().into()))
}
