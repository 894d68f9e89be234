// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bounded waiting. A wait says what it waits for, and what it saw last when it gives up.

use std::env;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Seconds. Long enough for a busy two-core machine; nothing that works comes near it. `SHUNT_LAB_PATIENCE` is for an
/// emulated one.
const PATIENCE: u64 = 20;

const PAUSE: Duration = Duration::from_millis(3);

/// Tries until it succeeds; `Err` says why it has not yet.
pub fn until<T>(what: &str, attempt: impl FnMut() -> Result<T, String>) -> Result<T> {
    until_within(patience(), what, attempt)
}

/// Waits for a file or folder to be removed.
pub fn until_gone(path: &Path) -> Result<()> {
    until(&format!("{} to go", path.display()), || {
        if path.exists() {
            Err("still there".to_owned())
        } else {
            Ok(())
        }
    })
}

fn patience() -> Duration {
    let said = env::var("SHUNT_LAB_PATIENCE").ok();
    Duration::from_secs(said.and_then(|said| said.parse().ok()).unwrap_or(PATIENCE))
}

pub fn until_within<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(last) if started.elapsed() >= patience => {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    waited: patience,
                    last,
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
