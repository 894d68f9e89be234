// SPDX-License-Identifier: MIT OR Apache-2.0
//! `healthCheckNodePort`: a port for each LoadBalancer Service with `externalTrafficPolicy: Local`, at which a load
//! balancer asks whether this node has endpoints of it. Every path gets kube-proxy's answer, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use tokio::sync::{oneshot, watch};
use tracing::info;

use super::Health;
use super::answer::answer;
use crate::compile::HealthCheck;
use crate::events::{EventSender, Warning};
use crate::http::serve_forever;
use crate::model::{Kind, ObjectRef, ServiceName};

/// The Services to answer for, and the addresses to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    pub services: BTreeMap<ServiceName, HealthCheck>,
    /// The node's addresses that serve NodePorts.
    pub addresses: BTreeSet<IpAddr>,
}

const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// Keeps the ports in `checks` open, until its sender is gone.
pub async fn serve(mut checks: watch::Receiver<Checks>, health: Health, events: EventSender) {
    let answers = Answers {
        checks: checks.clone(),
        health,
    };
    // Dropping a sender closes the port.
    let mut ports: BTreeMap<Place, oneshot::Sender<()>> = BTreeMap::new();
    loop {
        let wanted = checks.borrow_and_update().places();
        ports.retain(|place, _| wanted.contains(place));
        for place in wanted {
            ports
                .entry(place)
                .or_insert_with_key(|place| open(place.clone(), answers.clone(), events.clone()));
        }
        if checks.changed().await.is_err() {
            return;
        }
    }
}

/// A Service's port at an address of the node.
type Place = (ServiceName, SocketAddr);

impl Checks {
    fn places(&self) -> BTreeSet<Place> {
        let of = |(name, check): (&ServiceName, &HealthCheck)| {
            let (name, port) = (name.clone(), check.port);
            let at = self.addresses.iter();
            at.map(move |addr| (name.clone(), SocketAddr::new(*addr, port)))
        };
        self.services.iter().flat_map(of).collect()
    }
}

/// The state from which a handler answers.
#[derive(Clone)]
struct Answers {
    checks: watch::Receiver<Checks>,
    health: Health,
}

/// Opens a port, or waits until it can be. What is returned keeps it.
fn open((service, addr): Place, answers: Answers, events: EventSender) -> oneshot::Sender<()> {
    let router = Router::new().fallback(ask).with_state((service.clone(), answers));
    let (kept, closed) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let report = |failure: &io::Error| {
            events.send(Warning {
                about: ObjectRef::new(Kind::Service, &service),
                reason: "FailedToStartServiceHealthcheck",
                action: "Listen",
                note: format!("failed to start healthcheck {service} on {addr}: {failure}"),
            });
        };
        let port = format!("health check port of {service}");
        tokio::select! {
            () = serve_forever(&port, addr, router, report) => {}
            // Ends when the sender is dropped: nothing is ever sent.
            _ = closed => info!(port, %addr, "closed"),
        }
    });
    kept
}

async fn ask(State((name, answers)): State<(ServiceName, Answers)>) -> Response {
    let local = answers
        .checks
        .borrow()
        .services
        .get(&name)
        .map_or(0, |check| check.local_endpoints);
    let healthy = answers.health.is_healthy();
    let mut response = answer(local > 0 && healthy, body(&name, local, healthy));
    response.headers_mut().insert(WEIGHT, HeaderValue::from(local));
    response
}

fn body(name: &ServiceName, local: usize, healthy: bool) -> String {
    let (namespace, name) = (&name.namespace, &name.name);
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\
         \t\"localEndpoints\": {local},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;

    use super::*;

    fn web() -> ServiceName {
        ServiceName::new("default", "web")
    }

    fn check(port: u16, local_endpoints: usize) -> Checks {
        let check = HealthCheck {
            port,
            local_endpoints,
        };
        Checks {
            services: [(web(), check)].into(),
            addresses: ["127.0.0.1".parse().unwrap()].into(),
        }
    }

    async fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    }

    async fn get(port: u16) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET /any/path HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn until(port: u16, wanted: impl Fn(&io::Result<String>) -> bool) -> io::Result<String> {
        loop {
            let answer = get(port).await;
            if wanted(&answer) {
                return answer;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_port_is_open_for_as_long_as_its_service_wants_it() {
        let port = free_port().await;
        let (checks, receiver) = watch::channel(check(port, 2));
        let health = Health::default();
        tokio::spawn(serve(receiver, health.clone(), EventSender::default()));

        let answer = until(port, Result::is_ok).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        for line in [
            "content-type: application/json",
            "x-content-type-options: nosniff",
            "x-load-balancing-endpoint-weight: 2",
        ] {
            assert!(head.lines().any(|it| it == line), "{line} in {head}");
        }
        let wanted = "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\
                      \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
        assert_eq!(body, wanted);

        checks.send_replace(check(port, 0));
        let answer = get(port).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

        checks.send_replace(Checks::default());
        until(port, Result::is_err).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_taken_port_is_reported_once_and_opened_when_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let (_checks, receiver) = watch::channel(check(port, 1));
        let (events, mut posted) = EventSender::channel("node");
        tokio::spawn(serve(receiver, Health::default(), events));

        let news = posted.recv().await.unwrap();
        assert_eq!(news.about.to_string(), "Service default/web");
        assert_eq!(news.reason, "FailedToStartServiceHealthcheck");
        drop(taken);
        tokio::time::pause();
        until(port, Result::is_ok).await.unwrap();
        assert!(posted.try_recv().is_err(), "reported once");
    }
}
