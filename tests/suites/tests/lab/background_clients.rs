// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that send requests in the background of a test, and report the requests that failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::{Family, Pod, Service, wait};

/// Per family: new TCP connections, one open TCP connection, one UDP socket, each asking all the time.
pub(crate) struct BackgroundClients {
    stop: Arc<AtomicBool>,
    answers: Vec<Arc<AtomicU64>>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

type Ask = Box<dyn FnMut() -> lab::Result<()> + Send>;

impl BackgroundClients {
    pub(crate) fn start(pod: &Pod, service: &Service) -> Self {
        let mut steady = Self {
            stop: Arc::default(),
            answers: Vec::new(),
            clients: Vec::new(),
        };
        for vip in Family::ALL.map(|family| service.at(family, 80)) {
            [
                new_connections(pod, vip),
                open_connection(pod, vip),
                udp_socket(pod, vip),
            ]
            .into_iter()
            .for_each(|ask| steady.add(ask));
        }
        steady.go_on(5);
        steady
    }

    /// Lets every client have this many more answers.
    pub(crate) fn go_on(&self, more: u64) {
        for answers in &self.answers {
            let wanted = answers.load(Ordering::Relaxed) + more;
            let enough = || match answers.load(Ordering::Relaxed) {
                count if count >= wanted => Ok(()),
                count => Err(format!("{count} of {wanted}")),
            };
            wait::until("answers", enough).unwrap();
        }
    }

    /// Ends the clients; what any of them lost fails the test.
    #[track_caller]
    pub(crate) fn stop_without_a_loss(self) {
        self.stop.store(true, Ordering::Relaxed);
        let lost: Vec<_> = self
            .clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        assert!(lost.is_empty(), "{} answers lost: {lost:#?}", lost.len());
    }

    fn add(&mut self, mut ask: Ask) {
        let (stop, count) = (Arc::clone(&self.stop), Arc::<AtomicU64>::default());
        self.answers.push(Arc::clone(&count));
        self.clients.push(thread::spawn(move || {
            let mut lost = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                lost.extend(ask().err().map(|error| error.to_string()));
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
            lost
        }));
    }
}

fn new_connections(pod: &Pod, vip: SocketAddr) -> Ask {
    let pod = pod.clone();
    Box::new(move || pod.talk().ask_tcp(vip, "new").map(drop))
}

fn open_connection(pod: &Pod, vip: SocketAddr) -> Ask {
    let mut open = pod.talk().tcp(vip).unwrap();
    Box::new(move || open.ask("open").map(drop))
}

fn udp_socket(pod: &Pod, vip: SocketAddr) -> Ask {
    let socket = pod.talk().udp(vip).unwrap();
    Box::new(move || socket.ask("udp").map(drop))
}
