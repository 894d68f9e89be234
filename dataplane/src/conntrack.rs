// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long netfilter's connection tracking waits, as kube-proxy sets it.
//!
//! Shunt needs no connection tracking, but a CNI's masquerade does, and sees the packets that Shunt has translated. With
//! the kernel's 60 seconds in CLOSE_WAIT, an answer that takes longer after its client has closed its half would count as
//! a new connection, and be masqueraded. kube-proxy sets an hour; when kube-proxy goes, this goes on.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{info, warn};

/// Netfilter may be loaded, or its settings be reset, at any time.
const LOOK: Duration = Duration::from_secs(5);

const FOLDER: &str = "/proc/sys/net/netfilter";

/// One of netfilter's timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timeout {
    /// The client has closed its half.
    CloseWait,
    Established,
}

impl Timeout {
    fn name(self) -> &'static str {
        match self {
            Self::CloseWait => "nf_conntrack_tcp_timeout_close_wait",
            Self::Established => "nf_conntrack_tcp_timeout_established",
        }
    }

    /// The setting in force, in seconds; none where netfilter tracks no connections.
    pub fn read(self) -> Option<u64> {
        Setting::new(FOLDER, self, 0).read()
    }
}

/// What the timeouts are to be, in seconds. 0 leaves one as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub close_wait: u64,
    pub established: u64,
}

struct Setting {
    path: PathBuf,
    timeout: Timeout,
    wanted: u64,
}

impl Setting {
    fn new(folder: &str, timeout: Timeout, wanted: u64) -> Self {
        Self {
            path: PathBuf::from(folder).join(timeout.name()),
            timeout,
            wanted,
        }
    }

    fn read(&self) -> Option<u64> {
        fs::read_to_string(&self.path).ok()?.trim().parse().ok()
    }

    /// Sets it, if it is there and another; what it was then.
    fn set(&self) -> io::Result<Option<u64>> {
        match self.read() {
            Some(found) if self.wanted != 0 && found != self.wanted => {
                fs::write(&self.path, self.wanted.to_string())?;
                Ok(Some(found))
            }
            _ => Ok(None),
        }
    }
}

impl Timeouts {
    fn settings(self, folder: &str) -> [Setting; 2] {
        [
            Setting::new(folder, Timeout::CloseWait, self.close_wait),
            Setting::new(folder, Timeout::Established, self.established),
        ]
    }

    /// Keeps them so, also where netfilter is loaded later. For as long as the agent runs.
    pub async fn keep(self) {
        let mut failed = BTreeSet::new();
        loop {
            for setting in self.settings(FOLDER) {
                match setting.set() {
                    Ok(None) => {}
                    Ok(Some(found)) => info!(
                        setting = setting.timeout.name(),
                        found,
                        seconds = setting.wanted,
                        "set, as kube-proxy does"
                    ),
                    Err(error) if failed.insert(setting.timeout) => {
                        warn!(setting = setting.timeout.name(), %error, "stays as it is");
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_another_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let timeouts = Timeouts {
            close_wait: 3_600,
            established: 0,
        };
        let set = || timeouts.settings(place).map(|setting| setting.set().unwrap());
        assert_eq!(set(), [None, None], "netfilter is not loaded");
        for timeout in [Timeout::CloseWait, Timeout::Established] {
            fs::write(folder.path().join(timeout.name()), "60\n").unwrap();
        }
        assert_eq!(set(), [Some(60), None], "0 leaves it");
        assert_eq!(set(), [None, None]);
    }
}
