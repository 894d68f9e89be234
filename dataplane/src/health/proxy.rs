// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's `/healthz` and `/livez` on port 10256. Clouds' load balancers ask the first for Services with
//! `externalTrafficPolicy: Cluster` (KEP-3836): it fails when the node should lose its traffic. The second is
//! for liveness probes and does not: a node that is being deleted is no reason to restart the agent.

use std::future::Future;
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use k8s_openapi::jiff::Timestamp;

use super::Health;
use super::answer::answer;
use crate::http::serve_forever;

/// Serves until `shutdown`; a port that is taken is waited for.
pub async fn serve(addr: SocketAddr, health: Health, shutdown: impl Future<Output = ()> + Send) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .with_state(health);
    tokio::select! {
        () = serve_forever("health port", addr, router, |_| {}) => {}
        () = shutdown => {}
    }
}

async fn healthz(State(health): State<Health>) -> Response {
    let eligible = health.is_node_eligible();
    let times = times(&health);
    answer(
        health.is_healthy() && eligible,
        format!("{{{times}, \"nodeEligible\": {eligible}}}"),
    )
}

async fn livez(State(health): State<Health>) -> Response {
    let times = times(&health);
    answer(health.is_healthy(), format!("{{{times}}}"))
}

fn times(health: &Health) -> String {
    let (updated, now) = (text(health.last_updated()), text(SystemTime::now()));
    format!("\"lastUpdated\": \"{updated}\",\"currentTime\": \"{now}\"")
}

/// RFC 3339, UTC.
fn text(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn asked(response: Response) -> (u16, serde_json::Value) {
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_node_to_be_deleted_gets_no_traffic_and_no_restart() {
        let health = Health::default();
        let (status, body) = asked(healthz(State(health.clone())).await).await;
        assert_eq!((status, &body["nodeEligible"]), (200, &true.into()));
        health.set_node_eligible(false);
        let (status, body) = asked(healthz(State(health.clone())).await).await;
        assert_eq!((status, &body["nodeEligible"]), (503, &false.into()));
        let (status, body) = asked(livez(State(health)).await).await;
        assert_eq!((status, body.get("nodeEligible")), (200, None));
        assert!(body["lastUpdated"].as_str().unwrap().parse::<Timestamp>().is_ok());
    }
}
