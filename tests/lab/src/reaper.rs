// SPDX-License-Identifier: MIT OR Apache-2.0
//! A watchdog process per lab: it holds the read end of a pipe whose write end dies with the lab's owner,
//! however the owner dies, and then removes the lab.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::clean;
use crate::error::{Doing, Error, Result};
use crate::folder::LabFolder;

#[derive(Debug)]
pub struct Reaper {
    child: Child,
}

const STAND_DOWN: &[u8] = b"stand down\n";

impl Reaper {
    pub fn start(lab_binary: &Path, folder: &LabFolder) -> Result<Self> {
        let child = Command::new(lab_binary)
            .args(["reap", "--lab", &folder.id()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal must not end the reaper together with what it cleans up after.
            .process_group(0)
            .spawn()
            .doing(|| "starting the lab's reaper".to_owned())?;
        Ok(Self { child })
    }

    /// Ends the watch and leaves the lab as it is.
    pub fn stand_down(mut self) -> Result<()> {
        if let Some(mut pipe) = self.child.stdin.take() {
            pipe.write_all(STAND_DOWN)
                .doing(|| "telling the reaper to stand down".to_owned())?;
        }
        self.finish()
    }

    /// Has the reaper remove the lab now, and waits until it has.
    pub fn reap(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait().doing(|| "waiting for the reaper".to_owned())?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Failed(format!("the reaper failed: {status}")))
        }
    }
}

/// The reaper's own side: waits for the end of its standard input.
pub fn watch(lab: &LabFolder) -> Result<()> {
    let mut message = Vec::new();
    // An unreadable pipe means the same as a closed one: nobody is there.
    let _ = std::io::stdin().lock().read_to_end(&mut message);
    if message == STAND_DOWN {
        Ok(())
    } else {
        clean::remove(lab)
    }
}
