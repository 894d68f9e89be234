// SPDX-License-Identifier: MIT OR Apache-2.0
//! One handle for suites that run against the fixture, and against a real server where there is one.

use std::io;
use std::path::PathBuf;

use serde_json::Value;

use crate::access::{Access, User};
use crate::fixture::{Fixture, StartError};
use crate::object::{Key, ObjectError};
use crate::real::{Binaries, Real, RealError};
use crate::shared::Settings;
use crate::streams::{Ending, Which};

/// An API server.
pub enum Cluster {
    /// The fixture.
    Fixture(Box<Fixture>),
    /// kube-apiserver and etcd.
    Real(Box<Real>),
}

/// Why it did not start, or did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The fixture did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The fixture did not take an object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The real server.
    #[error(transparent)]
    Real(#[from] RealError),
}

impl Cluster {
    /// The real server if `KUBE_APISERVER` and `ETCD` name its binaries, else the fixture. In both the agent
    /// has the role `system:node-proxier`.
    pub fn start() -> Result<Self, ClusterError> {
        if let Some(binaries) = Binaries::from_env() {
            return Ok(Self::Real(Box::new(Real::start(&binaries)?)));
        }
        let fixture = Fixture::start(Settings::default())?;
        fixture.grant(Access::node_proxier());
        Ok(Self::Fixture(Box::new(fixture)))
    }

    /// The fixture, for what a real server cannot be made to do.
    pub fn fixture(&self) -> Option<&Fixture> {
        match self {
            Self::Fixture(fixture) => Some(fixture),
            Self::Real(_) => None,
        }
    }

    /// A kubeconfig for this user by bearer token.
    pub fn token_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        match self {
            Self::Fixture(fixture) => fixture.token_kubeconfig(user),
            Self::Real(real) => real.token_kubeconfig(user),
        }
    }

    /// A kubeconfig for this user by client certificate.
    pub fn certificate_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        match self {
            Self::Fixture(fixture) => fixture.certificate_kubeconfig(user),
            Self::Real(real) => real.certificate_kubeconfig(user),
        }
    }

    /// Makes or replaces an object.
    pub fn put(&self, object: Value) -> Result<(), ClusterError> {
        match self {
            Self::Fixture(fixture) => fixture.put(object).map(drop)?,
            Self::Real(real) => real.put(object)?,
        }
        Ok(())
    }

    /// Makes or replaces objects.
    pub fn put_all(&self, objects: impl IntoIterator<Item = Value>) -> Result<(), ClusterError> {
        match self {
            Self::Fixture(fixture) => fixture.put_all(objects).map(drop)?,
            Self::Real(real) => objects.into_iter().try_for_each(|object| real.put(object))?,
        }
        Ok(())
    }

    /// Deletes an object; tells whether it was there.
    pub fn delete(&self, key: &Key) -> Result<bool, ClusterError> {
        Ok(match self {
            Self::Fixture(fixture) => fixture.delete(key),
            Self::Real(real) => real.delete(key)?,
        })
    }

    /// Breaks open watches; clients may come back at once.
    pub fn break_watches(&self) {
        match self {
            Self::Fixture(fixture) => fixture.end_watches(None, Ending::Abort),
            Self::Real(real) => real.network().break_connections(),
        }
    }

    /// Open watches stay connected and are silent for good; later ones work.
    pub fn stall_watches(&self) {
        match self {
            Self::Fixture(fixture) => fixture.stall_watches(None, Which::Open),
            Self::Real(real) => real.network().stall_connections(),
        }
    }

    /// Cuts clients off.
    pub fn refuse_connections(&self) {
        match self {
            Self::Fixture(fixture) => fixture.refuse_connections(),
            Self::Real(real) => real.network().refuse_connections(),
        }
    }

    /// Lets clients back in.
    pub fn admit_connections(&self) {
        match self {
            Self::Fixture(fixture) => fixture.admit_connections(),
            Self::Real(real) => real.network().admit_connections(),
        }
    }
}
