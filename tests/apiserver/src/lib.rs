// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Kubernetes API server for tests: list, watch, writes, TLS, and every failure on demand.
//!
//! [`Fixture`] is the server with a handle to seed it, to change its objects, to make it fail and to ask
//! what clients asked of it. It runs on threads of its own, so it works from synchronous tests and from
//! any runtime. [`Cluster`] is the fixture or a real server behind one handle.
//!
//! The parts that decide anything are pure: [`store`] (objects, history, lists, watch cursors),
//! [`selector`], [`write`](mod@write), [`fault`], [`streams`], [`access`]. The HTTP side only
//! carries what they say.
#![forbid(unsafe_code)]

pub mod access;
pub mod bulk;
pub mod call;
mod cluster;
pub mod fault;
mod fixture;
mod http;
pub mod journal;
pub mod kubeconfig;
pub mod object;
pub mod options;
pub mod pki;
pub mod proxy;
pub mod real;
pub mod resource;
pub mod selector;
mod shared;
pub mod status;
pub mod store;
pub mod streams;
mod tls;
pub mod write;

pub use access::{Access, User};
pub use call::Verb;
pub use cluster::{Cluster, ClusterError};
pub use fault::{Fault, Garble, Rule};
pub use fixture::{Fixture, StartError};
pub use journal::Request;
pub use object::{Key, ObjectError, Revision};
pub use resource::Resource;
pub use shared::Settings;
pub use streams::{Ending, Which};
