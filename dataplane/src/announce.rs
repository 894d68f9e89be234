// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kubernetes Events: what an operator is to find at the object concerned, with `kubectl describe`.
//!
//! The log and the metrics tell the same; an Event that cannot be posted is dropped with a line in the log.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tracing::debug;

use crate::model::{Kind, NamespacedName, ObjectRef, Reason, Refusal};
use crate::plan::MapsError;

/// A warning about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub about: ObjectRef,
    /// One CamelCase word, for machines.
    pub reason: &'static str,
    /// What was tried, likewise.
    pub action: &'static str,
    /// A sentence, for people.
    pub note: String,
}

/// Where announcements are told. The default one tells nobody: without an API server there is nobody.
#[derive(Clone, Debug, Default)]
pub struct Announcer(Option<Desk>);

#[derive(Clone, Debug)]
struct Desk {
    node: ObjectRef,
    sender: mpsc::Sender<Announcement>,
}

/// Announcements that wait to be posted, at most: a flood of them is one in the log anyway.
const WAITING: usize = 64;

impl Announcer {
    /// For the agent of this node.
    pub fn channel(node: &str) -> (Self, mpsc::Receiver<Announcement>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let node = ObjectRef::new(Kind::Node, &NamespacedName::new("", node));
        (Self(Some(Desk { node, sender })), receiver)
    }

    /// Never waits.
    pub fn tell(&self, announcement: Announcement) {
        if let Some(desk) = &self.0
            && let Err(failure) = desk.sender.try_send(announcement)
        {
            debug!(%failure, "an Event is not posted");
        }
    }

    /// A table of the kernel has no room for all there is.
    pub fn tell_full(&self, failure: &MapsError) {
        if let Some(desk) = &self.0 {
            self.tell(Announcement {
                about: desk.node.clone(),
                reason: "MapFull",
                action: "Sync",
                note: failure.to_string(),
            });
        }
    }

    /// Part of an object cannot be served.
    pub fn tell_refused(&self, refusal: &Refusal) {
        if matches!(refusal.reason, Reason::SctpPorts { .. } | Reason::Claimed { .. }) {
            self.tell(Announcement {
                about: refusal.object.clone(),
                reason: "NotServed",
                action: "Sync",
                note: refusal.reason.to_string(),
            });
        }
    }
}

/// Posts what is announced until nobody can announce any more. The API server gets equal ones as one Event with a
/// count.
pub async fn post(client: Client, node: String, mut announcements: mpsc::Receiver<Announcement>) {
    let reporter = Reporter {
        controller: "shunt".to_owned(),
        instance: Some(node),
    };
    let recorder = Recorder::new(client, reporter);
    while let Some(announcement) = announcements.recv().await {
        let event = Event {
            type_: EventType::Warning,
            reason: announcement.reason.to_owned(),
            note: Some(announcement.note),
            action: announcement.action.to_owned(),
            secondary: None,
        };
        let about = reference(&announcement.about);
        if let Err(failure) = recorder.publish(&event, &about).await {
            debug!(about = %announcement.about, %failure, "an Event is not posted");
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
    async fn a_full_table_is_told_at_the_node() {
        let (announcer, mut receiver) = Announcer::channel("n1");
        announcer.tell_full(&MapsError::Full {
            map: "frontends",
            capacity: 7,
            flag: "--max-frontends",
        });
        let told = receiver.recv().await.unwrap();
        assert_eq!(
            (told.about.to_string().as_str(), told.reason),
            ("Node n1", "MapFull")
        );
        assert!(told.note.contains("--max-frontends"), "{}", told.note);
    }

    #[tokio::test]
    async fn what_nobody_hears_costs_nothing() {
        let announcement = || Announcement {
            about: ObjectRef::new(Kind::Service, &NamespacedName::new("default", "web")),
            reason: "MapFull",
            action: "Sync",
            note: String::new(),
        };
        Announcer::default().tell(announcement());
        let (announcer, mut receiver) = Announcer::channel("n1");
        (0..=WAITING).for_each(|_| announcer.tell(announcement()));
        assert!(receiver.recv().await.is_some());
    }
}
