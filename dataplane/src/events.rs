// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kubernetes Events: warnings that an operator finds with `kubectl describe` on the object concerned.
//!
//! The log and the metrics report the same. An Event that cannot be posted is dropped with a line in the log.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tracing::debug;

use crate::model::{Kind, NamespacedName, ObjectRef, Reason, Refusal};
use crate::plan::MapsError;

/// A warning about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub about: ObjectRef,
    /// One CamelCase word, for machines.
    pub reason: &'static str,
    /// The action that failed, also one CamelCase word.
    pub action: &'static str,
    /// A sentence, for people.
    pub note: String,
}

/// Hands warnings to the task that posts them. The default one drops them: without an API server there are no Events.
#[derive(Clone, Debug, Default)]
pub struct EventSender(Option<(ObjectRef, mpsc::Sender<Warning>)>);

/// The most warnings that wait to be posted. The log has all of them.
const WAITING: usize = 64;

impl EventSender {
    /// For the agent of this node.
    pub fn channel(node: &str) -> (Self, mpsc::Receiver<Warning>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let node = ObjectRef::new(Kind::Node, &NamespacedName::new("", node));
        (Self(Some((node, sender))), receiver)
    }

    /// Never waits.
    pub fn send(&self, warning: Warning) {
        if let Some((_, sender)) = &self.0
            && let Err(failure) = sender.try_send(warning)
        {
            debug!(%failure, "Event not posted");
        }
    }

    /// A map of the kernel is full.
    pub fn record_full(&self, failure: &MapsError) {
        if let Some((node, _)) = &self.0 {
            self.send(Warning {
                about: node.clone(),
                reason: "MapFull",
                action: "Sync",
                note: failure.to_string(),
            });
        }
    }

    /// Part of an object cannot be served, or has more than Shunt has room for.
    pub fn record_refused(&self, refusal: &Refusal) {
        let reason = match refusal.reason {
            Reason::SctpPorts { .. } | Reason::Claimed { .. } => Some("NotServed"),
            Reason::TooManyEndpoints { .. } | Reason::TooManyRanges { .. } => Some("LimitReached"),
            _ => None,
        };
        if let Some(reason) = reason {
            self.send(Warning {
                about: refusal.object.clone(),
                reason,
                action: "Sync",
                note: refusal.reason.to_string(),
            });
        }
    }
}

/// Posts warnings until the last sender is gone. Equal ones become one Event with a count.
pub async fn post(client: Client, node: String, mut warnings: mpsc::Receiver<Warning>) {
    let reporter = Reporter {
        controller: "shunt".to_owned(),
        instance: Some(node),
    };
    let recorder = Recorder::new(client, reporter);
    while let Some(warning) = warnings.recv().await {
        let event = Event {
            type_: EventType::Warning,
            reason: warning.reason.to_owned(),
            note: Some(warning.note),
            action: warning.action.to_owned(),
            secondary: None,
        };
        let about = reference(&warning.about);
        if let Err(failure) = recorder.publish(&event, &about).await {
            debug!(about = %warning.about, %failure, "Event not posted");
        }
    }
}

fn reference(about: &ObjectRef) -> ObjectReference {
    let api_version = match about.kind {
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::ServiceCidr => "networking.k8s.io/v1",
        _ => "v1",
    };
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(about.kind.as_str().to_owned()),
        name: Some(about.name.to_string()),
        namespace: Some(about.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_in_no_namespace() {
        let node = ObjectRef::new(Kind::Node, &NamespacedName::new("", "n1"));
        let reference = reference(&node);
        assert_eq!(
            (reference.namespace, reference.name.as_deref()),
            (None, Some("n1"))
        );
    }

    #[tokio::test]
    async fn a_full_map_is_recorded_at_the_node() {
        let (events, mut receiver) = EventSender::channel("n1");
        events.record_full(&MapsError::Full {
            map: "frontends",
            capacity: 7,
            flag: "--max-frontends",
        });
        let posted = receiver.recv().await.unwrap();
        assert_eq!(
            (posted.about.to_string().as_str(), posted.reason),
            ("Node n1", "MapFull")
        );
        assert!(posted.note.contains("--max-frontends"), "{}", posted.note);
    }

    #[tokio::test]
    async fn warnings_without_a_receiver_are_dropped() {
        let warning = || Warning {
            about: ObjectRef::new(Kind::Service, &NamespacedName::new("default", "web")),
            reason: "MapFull",
            action: "Sync",
            note: String::new(),
        };
        EventSender::default().send(warning());
        let (events, mut receiver) = EventSender::channel("n1");
        (0..=WAITING).for_each(|_| events.send(warning()));
        assert!(receiver.recv().await.is_some());
    }
}
