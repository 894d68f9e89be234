// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches: one task per stream, woken by writes and orders.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::body::{Body, Frames, streamed};
use crate::call::{Call, Verb};
use crate::fault::{Fault, Garble, Moment};
use crate::object::Revision;
use crate::options::Start;
use crate::shared::{Shared, Ticket, lock};
use crate::status::Status;
use crate::store::{Cursor, Gone, ListError, ListQuery, Notice};
use crate::streams::Ending;

/// How long a watch without `timeoutSeconds` lasts: a real server takes 30 to 60 minutes.
const LONGEST: u64 = 30 * 60;

/// The stream is over, by order or because nobody reads it.
struct Over;

/// Opens a watch.
pub(super) fn watch(shared: &Arc<Shared>, call: &Call) -> Result<Response<Body>, Status> {
    let start = call.options.watch_start(shared.settings.streaming_lists)?;
    let query = ListQuery {
        namespace: call.namespace.clone(),
        selector: call.options.selector.clone(),
        ..ListQuery::all(call.resource)
    };
    let (cursor, initial) = begin(shared, &query, start)?;
    let lasts = Duration::from_secs(call.options.timeout_seconds.filter(|s| *s > 0).unwrap_or(LONGEST));
    let (out, mut frames) = mpsc::channel(16);
    let mut bookmarks = interval_at(
        Instant::now() + shared.settings.bookmark_every,
        shared.settings.bookmark_every.max(Duration::from_millis(1)),
    );
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        ticket: shared.open_watch(call.resource),
        cursor,
        out,
        frames: Frames::default(),
        takes_bookmarks: call.options.bookmarks,
        bookmarks_seen: shared.streams.borrow().bookmarks(call.resource),
        bookmarks,
        deadline: Instant::now() + lasts,
    };
    let end_mark = matches!(start, Start::Present { end_mark: true, .. });
    tokio::spawn(watch.run(initial, end_mark));
    Ok(streamed(stream::poll_fn(move |context| {
        frames.poll_recv(context)
    })))
}

fn begin(shared: &Shared, query: &ListQuery, start: Start) -> Result<(Cursor, Vec<Notice>), Status> {
    shared.read(|store| match start {
        Start::Present { not_before, .. } if not_before > store.revision() => Err(ListError::TooLarge {
            asked: not_before,
            current: store.revision(),
        }
        .into()),
        Start::Present { .. } => Ok(Cursor::from_now(store, query)),
        Start::Now => Ok((Cursor::after(store.revision(), query), Vec::new())),
        Start::After(revision) => Ok((Cursor::after(revision, query), Vec::new())),
    })
}

struct Watch {
    ticket: Ticket,
    cursor: Cursor,
    out: mpsc::Sender<Result<Bytes, io::Error>>,
    frames: Frames,
    takes_bookmarks: bool,
    bookmarks_seen: u64,
    bookmarks: Interval,
    deadline: Instant,
}

impl Watch {
    async fn run(mut self, initial: Vec<Notice>, end_mark: bool) {
        // Over is how every stream ends; there is nobody to tell.
        let Err(Over) = self.stream(initial, end_mark).await;
    }

    async fn stream(&mut self, initial: Vec<Notice>, end_mark: bool) -> Result<Never, Over> {
        let mut written = self.ticket.shared.written.subscribe();
        let mut orders = self.ticket.shared.streams.subscribe();
        self.wait_while_stalled(&mut orders).await?;
        if self.strike(Moment::WatchStart).is_some() {
            let gone = Gone {
                asked: self.cursor.position(),
                oldest: self.cursor.position().next(),
            };
            return self.fail(&gone.into()).await;
        }
        self.tell(initial).await?;
        if end_mark {
            self.bookmark(true).await?;
        }
        loop {
            self.wait_while_stalled(&mut orders).await?;
            let news = self
                .ticket
                .shared
                .clone()
                .read(|store| self.cursor.advance(store));
            match news {
                Ok(notices) => self.tell(notices).await?,
                Err(gone) => return self.fail(&gone.into()).await,
            }
            self.bookmark_if_ordered().await?;
            tokio::select! {
                () = self.out.closed() => return Err(Over),
                _ = written.changed() => {}
                _ = orders.changed() => {}
                _ = self.bookmarks.tick(), if self.takes_bookmarks => self.bookmark(false).await?,
                () = sleep_until(self.deadline) => return self.time_out().await,
            }
        }
    }

    /// Obeys an order to end, and sits out a stall.
    async fn wait_while_stalled(
        &mut self,
        orders: &mut tokio::sync::watch::Receiver<crate::streams::Streams>,
    ) -> Result<(), Over> {
        loop {
            let (ending, stalled) = {
                let orders = orders.borrow_and_update();
                let Ticket { id, resource, .. } = self.ticket;
                (orders.ending(resource, id), orders.is_stalled(resource, id))
            };
            match (ending, stalled) {
                (Some(Ending::Clean), _) => return Err(Over),
                (Some(Ending::Abort), _) => return self.abort("watch dropped on demand").await,
                (None, false) => return Ok(()),
                (None, true) => tokio::select! {
                    () = self.out.closed() => return Err(Over),
                    _ = orders.changed() => {}
                },
            }
        }
    }

    async fn tell(&mut self, notices: Vec<Notice>) -> Result<(), Over> {
        for notice in notices {
            let Some(Fault::Garble(how)) = self.strike(Moment::WatchEvent) else {
                self.push_notice(&notice);
                continue;
            };
            match how {
                Garble::Half => return self.half(&notice).await,
                Garble::NotJson => self.frames.push(b"{\"type\":\"MODIFIED\",\"object\":{{{,}\n"),
                Garble::NotAnEvent => self.frames.push(b"{\"kind\":\"Surprise\"}\n"),
            }
        }
        self.flush().await
    }

    fn push_notice(&mut self, notice: &Notice) {
        self.frames
            .push(format!("{{\"type\":\"{}\",\"object\":", notice.kind()).as_bytes());
        for piece in notice.object().full() {
            self.frames.push(&piece);
        }
        self.frames.push(b"}\n");
    }

    async fn half(&mut self, notice: &Notice) -> Result<(), Over> {
        self.flush().await?;
        self.push_notice(notice);
        let line = self.frames.take().concat();
        self.send(line[..line.len() / 2].to_vec().into()).await?;
        // An error overtakes what is still in the connection's buffer.
        sleep(Duration::from_millis(50)).await;
        self.abort("watch cut on demand").await
    }

    async fn bookmark_if_ordered(&mut self) -> Result<(), Over> {
        let ordered = self
            .ticket
            .shared
            .streams
            .borrow()
            .bookmarks(self.ticket.resource);
        if ordered == self.bookmarks_seen {
            return Ok(());
        }
        self.bookmarks_seen = ordered;
        self.bookmark(false).await
    }

    async fn bookmark(&mut self, ends_initial_events: bool) -> Result<(), Over> {
        if !self.takes_bookmarks {
            return Ok(());
        }
        let mark = bookmark(&self.ticket, self.cursor.position(), ends_initial_events);
        self.frames.push(event("BOOKMARK", &mark).as_bytes());
        self.flush().await?;
        lock(&self.ticket.shared.journal).bookmark_sent(self.ticket.resource);
        Ok(())
    }

    /// A last bookmark, as a real server sends one before it times a watch out.
    async fn time_out(&mut self) -> Result<Never, Over> {
        self.bookmark(false).await?;
        Err(Over)
    }

    async fn fail(&mut self, status: &Status) -> Result<Never, Over> {
        self.frames.push(event("ERROR", &status.body()).as_bytes());
        self.flush().await?;
        Err(Over)
    }

    async fn abort<T>(&mut self, why: &'static str) -> Result<T, Over> {
        // Nobody reading is over as well.
        self.out
            .send(Err(io::Error::other(why)))
            .await
            .unwrap_or_default();
        Err(Over)
    }

    async fn flush(&mut self) -> Result<(), Over> {
        for frame in self.frames.take() {
            self.send(frame).await?;
        }
        Ok(())
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), Over> {
        self.out.send(Ok(frame)).await.map_err(|_| Over)
    }

    fn strike(&self, moment: Moment) -> Option<Fault> {
        lock(&self.ticket.shared.faults).strike(moment, Verb::Watch, self.ticket.resource)
    }
}

/// A stream never ends well, only `Over`.
enum Never {}

fn event(kind: &str, object: &Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn bookmark(ticket: &Ticket, at: Revision, ends_initial_events: bool) -> Value {
    let spec = ticket.resource.spec();
    let mut mark = json!({
        "kind": spec.kind, "apiVersion": spec.api_version(),
        "metadata": {"resourceVersion": at.to_string(), "creationTimestamp": null},
    });
    if ends_initial_events {
        mark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    mark
}
