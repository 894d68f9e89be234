// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that runs inside a namespace, with its output in a log file of the lab.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup;
use crate::error::{Doing, Error, Result};
use crate::wait;

/// Where and how to start a program.
#[derive(Debug, Clone)]
pub struct Place {
    pub lab_binary: PathBuf,
    pub netns: PathBuf,
    pub cgroup: PathBuf,
    /// `resolv.conf` and `nsswitch.conf` to see instead of the machine's own, once there is the first.
    pub resolver: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a server prints when it accepts traffic.
pub const READY: &str = "ready";

impl Place {
    /// The command line of a program at this place; standard input, output and error are the caller's.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(&self.lab_binary);
        command.arg("exec").arg("--netns").arg(&self.netns);
        command.arg("--cgroup").arg(&self.cgroup);
        if let Some((resolv_conf, nsswitch)) = &self.resolver
            && resolv_conf.exists()
        {
            command
                .arg("--resolv-conf")
                .arg(resolv_conf)
                .arg("--nsswitch")
                .arg(nsswitch);
        }
        command.arg("--").arg(program).args(arguments);
        // Not in the terminal's group: a Ctrl-C is the owner's to handle.
        command.process_group(0);
        command
    }

    /// Starts a program in the background; it is killed when the handle goes.
    pub fn start<A: AsRef<OsStr>>(
        &self,
        name: &str,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Process> {
        let doing = || format!("starting {name}");
        let output = File::create(log).doing(doing)?;
        let errors = output.try_clone().doing(doing)?;
        let child = self
            .command(program, arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing(doing)?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }
}

impl Process {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// All that the program has printed.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn wait_ready(&mut self) -> Result<()> {
        let name = self.name.clone();
        wait::until(&format!("{name} to be ready"), || {
            if self.log().lines().any(|line| line == READY) {
                return Ok(Ok(()));
            }
            match self.ended() {
                Some(status) => Ok(Err(self.early_end(status))),
                None => Err("no word yet".to_owned()),
            }
        })?
    }

    /// The exit status, once the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn early_end(&self, status: ExitStatus) -> Error {
        Error::Ended {
            name: self.name.clone(),
            status: status.to_string(),
            log: self.log(),
        }
    }

    /// SIGKILL, and gone on return.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill().doing(|| format!("killing {}", self.name))?;
        self.child
            .wait()
            .doing(|| format!("waiting for {}", self.name))
            .map(|_| ())
    }

    /// SIGTERM, and gone on return; a program that takes too long, or ends with an error, is a failure.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait_end(Duration::from_secs(15))?;
        let by_the_signal = status.signal() == Some(Signal::SIGTERM as i32);
        if status.success() || by_the_signal {
            Ok(())
        } else {
            Err(self.early_end(status))
        }
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal)
            .doing(|| format!("sending {signal} to {}", self.name))
    }

    pub fn wait_end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until_within(patience, &what, || {
            self.ended().ok_or_else(|| "still running".to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to tell about a failure: the reaper looks after what survives.
        let _ = self.kill9();
    }
}

/// Becomes `command` inside a namespace and a cgroup: the `exec` verb of the lab's binary.
pub fn exec(netns: &Path, cgroup: &Path, resolver: Option<(&Path, &Path)>, command: &[String]) -> Result<()> {
    cgroup::join(cgroup)?;
    let doing = || format!("entering {}", netns.display());
    let file = File::open(netns).doing(doing)?;
    setns(&file, CloneFlags::CLONE_NEWNET).doing(doing)?;
    if let Some((resolv_conf, nsswitch)) = resolver {
        use_resolver(resolv_conf, nsswitch)?;
    }
    let [program, arguments @ ..] = command else {
        return Err(Error::Failed("no command given".to_owned()));
    };
    Err(Command::new(program).args(arguments).exec()).doing(|| format!("running {program}"))
}

fn use_resolver(resolv_conf: &Path, nsswitch: &Path) -> Result<()> {
    let doing = || "making a mount namespace for resolv.conf".to_owned();
    unshare(CloneFlags::CLONE_NEWNS).doing(doing)?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .doing(doing)?;
    for (own, machine) in [
        (resolv_conf, "/etc/resolv.conf"),
        (nsswitch, "/etc/nsswitch.conf"),
    ] {
        if Path::new(machine).exists() {
            mount(Some(own), machine, nothing, MsFlags::MS_BIND, nothing)
                .doing(|| format!("showing {} as {machine}", own.display()))?;
        }
    }
    Ok(())
}
