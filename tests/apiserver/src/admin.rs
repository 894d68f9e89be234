// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixture's handle over plain HTTP, for `curl`: what `shunt-apiserver --admin` serves.
//!
//! | request | does |
//! |---|---|
//! | `GET /counts` | counters |
//! | `GET /requests` | the latest requests |
//! | `GET /faults`, `POST /faults`, `DELETE /faults` | rules in force; add one; drop all |
//! | `POST /watches/end?resource=R&how=abort` | end open watches (`clean` or `abort`) |
//! | `POST /watches/stall?resource=R&which=open`, `POST /watches/resume` | stall (`open` or `all`), go on |
//! | `POST /watches/bookmark` | send a bookmark |
//! | `POST /refuse`, `POST /admit` | refuse connections; take them again |
//! | `POST /compact` | forget history |
//! | `PUT /objects` | write an object as it is, unchecked |
//!
//! `resource` is a plural such as `services`; without it, all.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Rule;
use crate::fixture::Fixture;
use crate::journal::{Counts, Request};
use crate::resource::Resource;
use crate::shared::lock;
use crate::streams::{Ending, Which};

/// The routes, on this fixture.
pub fn router(fixture: Arc<Fixture>) -> Router {
    Router::new()
        .route("/counts", get(counts))
        .route("/requests", get(requests))
        .route("/faults", get(faults).post(add_fault).delete(heal))
        .route("/watches/end", post(end))
        .route("/watches/stall", post(stall))
        .route("/watches/resume", post(resume))
        .route("/watches/bookmark", post(bookmark))
        .route("/refuse", post(refuse))
        .route("/admit", post(admit))
        .route("/compact", post(compact))
        .route("/objects", put(put_object))
        .with_state(fixture)
}

type Server = State<Arc<Fixture>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watches {
    resource: Option<Resource>,
    how: Option<Ending>,
    which: Option<Which>,
}

async fn counts(server: Server) -> Json<Counts> {
    Json(server.counts())
}

async fn requests(server: Server) -> Json<Vec<Request>> {
    Json(server.requests())
}

async fn faults(server: Server) -> Json<Vec<Rule>> {
    Json(lock(&server.shared().faults).rules().to_vec())
}

async fn add_fault(server: Server, Json(rule): Json<Rule>) -> StatusCode {
    server.fail(rule);
    StatusCode::NO_CONTENT
}

async fn heal(server: Server) -> StatusCode {
    server.heal();
    StatusCode::NO_CONTENT
}

async fn end(server: Server, Query(watches): Query<Watches>) -> StatusCode {
    server.end_watches(watches.resource, watches.how.unwrap_or(Ending::Abort));
    StatusCode::NO_CONTENT
}

async fn stall(server: Server, Query(watches): Query<Watches>) -> StatusCode {
    server.stall_watches(watches.resource, watches.which.unwrap_or(Which::Open));
    StatusCode::NO_CONTENT
}

async fn resume(server: Server, Query(watches): Query<Watches>) -> StatusCode {
    server.resume_watches(watches.resource);
    StatusCode::NO_CONTENT
}

async fn bookmark(server: Server, Query(watches): Query<Watches>) -> StatusCode {
    server.send_bookmarks(watches.resource);
    StatusCode::NO_CONTENT
}

async fn refuse(server: Server) -> StatusCode {
    server.refuse_connections();
    StatusCode::NO_CONTENT
}

async fn admit(server: Server) -> StatusCode {
    server.admit_connections();
    StatusCode::NO_CONTENT
}

async fn compact(server: Server) -> StatusCode {
    server.compact();
    StatusCode::NO_CONTENT
}

async fn put_object(server: Server, Json(object): Json<Value>) -> (StatusCode, Json<Value>) {
    match server.put(object) {
        Ok(revision) => (
            StatusCode::OK,
            Json(json!({"resourceVersion": revision.to_string()})),
        ),
        Err(why) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Json(json!({"error": why.to_string()})),
        ),
    }
}
