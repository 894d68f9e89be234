// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::{Heartbeat, Ready, Status};
use crate::http::serve_forever;

/// The state that the server publishes.
#[derive(Clone, Debug)]
pub struct Admin {
    pub heartbeat: Heartbeat,
    pub ready: Ready,
    pub registry: Arc<Registry>,
    pub status: watch::Receiver<Status>,
}

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `shutdown`, whatever happens.
pub async fn serve(addr: SocketAddr, admin: Admin, shutdown: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = serve_forever("admin port", addr, router(admin), |_| {}) => {}
        () = shutdown => {}
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin)
}

async fn livez(State(admin): State<Admin>) -> Response {
    if admin.heartbeat.is_alive() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let stuck = format!("main loop: no beat for {} s\n", admin.heartbeat.age().as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, stuck).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let pending = admin.ready.pending();
    if pending.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let awaited: String = pending
        .iter()
        .map(|task| format!("waiting for: {task}\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, awaited).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    // It reads two map entries for each Service port: not on the thread that changes wait for.
    let encoded = spawn_blocking(move || {
        let mut text = String::new();
        encode(&mut text, &admin.registry).map(|()| text)
    });
    match encoded.await.unwrap_or(Err(std::fmt::Error)) {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{failure}\n")).into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    Json(admin.status.borrow().clone())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn admin() -> (Admin, watch::Sender<Status>) {
        let (sender, status) = watch::channel(Status::default());
        let admin = Admin {
            heartbeat: Heartbeat::default(),
            ready: Ready::default(),
            registry: Arc::new(Registry::default()),
            status,
        };
        (admin, sender)
    }

    async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: shunt\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn readiness_names_what_is_awaited() {
        let (admin, _status) = admin();
        let ready = admin.ready.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router(admin)).into_future());
        let task = ready.register_task("first lists");
        assert_eq!(
            get(addr, "/readyz").await,
            (503, "waiting for: first lists\n".into())
        );
        assert_eq!(get(addr, "/livez").await, (200, "ok\n".into()));
        drop(task);
        assert_eq!(get(addr, "/readyz").await, (200, "ok\n".into()));
    }

    #[tokio::test]
    async fn status_is_what_the_agent_published_last() {
        let (admin, sender) = admin();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router(admin)).into_future());
        sender.send_replace(Status {
            awaited: vec!["services".into()],
            ..Status::default()
        });
        let (code, body) = get(addr, "/status").await;
        assert_eq!(code, 200);
        assert_eq!(
            serde_json::from_str::<Status>(&body).unwrap().awaited,
            ["services"]
        );
    }
}
