// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process of a node or a pod whose socket calls a test makes, one by one.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::{Doing, Error, Result};
use crate::node::Node;
use crate::pod::Pod;
use crate::process::Place;
use crate::programs::calls::{Call, Domains, Kind, Outcome};
use crate::programs::echo::Answer;

/// The process; it ends with this handle.
#[derive(Debug)]
pub struct Caller {
    name: String,
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// One of its sockets, closed when dropped.
#[derive(Debug)]
pub struct Held<'a> {
    caller: &'a Caller,
    number: u32,
}

/// `errno` of a call.
pub type Errno = i32;

impl Node {
    /// A process of the node itself: in its network namespace, in its cgroup.
    pub fn caller(&self) -> Result<Caller> {
        Caller::start(self.name(), &self.place(), self.folder().logs().join("calls.log"))
    }
}

impl Node {
    /// A process in this node's network namespace that is below another node's cgroup.
    pub fn caller_below(&self, other: &Self) -> Result<Caller> {
        let place = Place {
            cgroup: other.cgroup().to_owned(),
            ..self.place()
        };
        Caller::start(self.name(), &place, self.folder().logs().join("calls.log"))
    }
}

impl Pod {
    /// A process of the pod.
    pub fn caller(&self) -> Result<Caller> {
        let logs = self.node().folder().logs();
        Caller::start(self.name(), self.place(), logs.join("calls.log"))
    }
}

impl Caller {
    fn start(name: &str, place: &Place, log: std::path::PathBuf) -> Result<Self> {
        let doing = || format!("starting a caller in {name}");
        let log = File::options().create(true).append(true).open(log).doing(doing)?;
        let mut child = place
            .command(&place.lab_binary, ["pod", "calls"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .doing(doing)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Failed(format!("{} without pipes", doing())));
        };
        Ok(Self {
            name: name.to_owned(),
            child,
            pipes: Mutex::new((input, BufReader::new(output))),
        })
    }

    pub fn open(&self, kind: Kind, domains: Domains) -> Result<Held<'_>> {
        match self.make(&Call::Open(kind, domains))? {
            Outcome::Opened(number) => Ok(Held { caller: self, number }),
            other => Err(self.unexpected(&other)),
        }
    }

    fn make(&self, call: &Call) -> Result<Outcome> {
        let doing = || format!("{call:?} in {}", self.name);
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_string(call)
            .map_err(std::io::Error::from)
            .doing(doing)?;
        line.push('\n');
        pipes.0.write_all(line.as_bytes()).doing(doing)?;
        line.clear();
        pipes.1.read_line(&mut line).doing(doing)?;
        serde_json::from_str(&line)
            .map_err(std::io::Error::from)
            .doing(doing)
    }

    fn unexpected(&self, outcome: &Outcome) -> Error {
        Error::Failed(format!("the caller in {} says {outcome:?}", self.name))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Gone is gone: there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Held<'_> {
    pub fn connect(&self, to: SocketAddr) -> Result<(), Errno> {
        self.done(Call::Connect(self.number, to))
    }

    pub fn send(&self, text: &str) -> Result<(), Errno> {
        self.done(Call::Send(self.number, text.to_owned()))
    }

    pub fn send_to(&self, to: SocketAddr, text: &str) -> Result<(), Errno> {
        self.done(Call::SendTo(self.number, to, text.to_owned()))
    }

    pub fn send_message(&self, to: SocketAddr, text: &str) -> Result<(), Errno> {
        self.done(Call::SendMessage(self.number, to, text.to_owned()))
    }

    pub fn peer(&self) -> Result<SocketAddr, Errno> {
        match self.make(Call::Peer(self.number))? {
            Outcome::Address(address) => Ok(address),
            other => self.never(&other),
        }
    }

    /// The echo program's answer, by `recv`.
    pub fn receive(&self) -> Result<Answer, Errno> {
        match self.make(Call::Receive(self.number))? {
            Outcome::Text(text) => Ok(self.understand(&text)),
            other => self.never(&other),
        }
    }

    /// The same by `recvfrom`, with where it is said to come from.
    pub fn receive_from(&self) -> Result<(Answer, SocketAddr), Errno> {
        match self.make(Call::ReceiveFrom(self.number))? {
            Outcome::TextFrom(text, from) => Ok((self.understand(&text), from)),
            other => self.never(&other),
        }
    }

    /// The same by `recvmsg`.
    pub fn receive_message(&self) -> Result<(Answer, SocketAddr), Errno> {
        match self.make(Call::ReceiveMessage(self.number))? {
            Outcome::TextFrom(text, from) => Ok((self.understand(&text), from)),
            other => self.never(&other),
        }
    }

    fn done(&self, call: Call) -> Result<(), Errno> {
        match self.make(call)? {
            Outcome::Done => Ok(()),
            other => self.never(&other),
        }
    }

    #[expect(clippy::panic, reason = "a caller that is gone is a broken test")]
    fn make(&self, call: Call) -> Result<Outcome, Errno> {
        match self.caller.make(&call) {
            Ok(Outcome::Failed(errno)) => Err(errno),
            Ok(outcome) => Ok(outcome),
            Err(error) => panic!("{error}"),
        }
    }

    #[expect(clippy::panic, reason = "the two sides are of one source")]
    fn never<T>(&self, outcome: &Outcome) -> T {
        panic!("{}", self.caller.unexpected(outcome))
    }

    #[expect(clippy::panic, reason = "the echo program answers so and never else")]
    fn understand(&self, text: &str) -> Answer {
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("{} heard {text:?}: {error}", self.caller.name))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // The process may be gone.
        let _ = self.caller.make(&Call::Close(self.number));
    }
}
