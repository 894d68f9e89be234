// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP side: from a request to an answer. Thin; what to answer is decided by the pure modules.

mod body;
mod listen;
mod reading;
mod watching;
mod writing;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, RETRY_AFTER};
use hyper::{Request, Response};

use self::body::{Body, json};
pub(crate) use self::listen::{Gate, Listening, listen};
use crate::access::User;
use crate::call::{Call, Verb, call};
use crate::fault::{Fault, Moment};
use crate::shared::{Shared, lock};
use crate::status::Status;

/// What a service function answers; an error closes the connection.
type Answer = Result<Response<Body>, io::Error>;

/// Answers one request of a client that showed this certificate.
async fn answer(shared: Arc<Shared>, certificate: Option<Arc<[u8]>>, request: Request<Incoming>) -> Answer {
    let authorization = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let user = lock(&shared.credentials).identify(authorization, certificate.as_deref());
    let (path, query) = (
        request.uri().path(),
        request.uri().query().unwrap_or_default().to_owned(),
    );
    let Some(user) = user else {
        lock(&shared.journal).note_unauthorized();
        return Ok(refuse(&Status::new(401, "Unauthorized")));
    };
    let call = match call(request.method().as_str(), path, &query) {
        Ok(call) => call,
        Err(status) => return Ok(refuse(&status)),
    };
    let answer = admitted(&shared, user, &call, request).await;
    let code = answer.as_ref().map_or(0, |response| response.status().as_u16());
    lock(&shared.journal).note(user.name(), &call, &query, code);
    answer
}

async fn admitted(shared: &Arc<Shared>, user: User, call: &Call, request: Request<Incoming>) -> Answer {
    if !lock(&shared.access).allows(user, call.verb, call.resource) {
        return Ok(refuse(&forbidden(user, call)));
    }
    let fault = lock(&shared.faults).strike(Moment::Arrival, call.verb, call.resource);
    match fault {
        Some(Fault::Answer { code: 403, .. }) => return Ok(refuse(&forbidden(user, call))),
        Some(Fault::Answer { code, retry_after }) => {
            return Ok(refuse(
                &Status::new(code, "failure on demand").retry_after(retry_after),
            ));
        }
        Some(Fault::Hangup) => return Err(io::Error::other("hang-up on demand")),
        Some(Fault::Delay { millis }) => tokio::time::sleep(Duration::from_millis(millis)).await,
        _ => {}
    }
    let result = match call.verb {
        Verb::Get => reading::get(shared, call),
        Verb::List => reading::list(shared, call),
        Verb::Watch => watching::watch(shared, call),
        Verb::Create | Verb::Patch => writing::write(shared, call, request).await,
    };
    Ok(result.unwrap_or_else(|status| refuse(&status)))
}

fn forbidden(user: User, call: &Call) -> Status {
    Status::forbidden(
        user.name(),
        &call.verb.to_string(),
        call.resource,
        call.namespace.as_deref(),
    )
}

/// A refusal with its `Status` body.
fn refuse(status: &Status) -> Response<Body> {
    let mut response = json(status.code, &status.body());
    if let Some(seconds) = status.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
