// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test kernel --kernel 6.1`: a root tier on another kernel, in a virtual machine.
//!
//! The kernel is one of Debian's, downloaded and unpacked under `target/vm`, never installed. The guest's file system
//! is the host's own, read-only, so the test program finds its libraries and the tools that it runs. Kernel modules are
//! loaded on demand. Nothing needs root on the host, nor hardware support: without it the machine is emulated.

mod debian;
mod initramfs;
mod kernel;
mod qemu;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use self::kernel::Kernel;
pub(super) use self::qemu::Processor;
use crate::command;
use crate::workspace::Workspace;

/// Settings for an emulated machine; the caller's environment can override them.
const SETTINGS: [(&str, &str); 2] = [
    ("SHUNT_FUZZ_PACKETS", "20000"),
    // Seconds. An emulated verifier is slow.
    ("SHUNT_LAB_PATIENCE", "200"),
];
const PREFIX: &str = "SHUNT_";

/// All that a guest needs; it can be started again and again.
pub(super) struct Machine {
    folder: PathBuf,
    qemu: qemu::Program,
    processor: Processor,
    kernel: Kernel,
    busybox: PathBuf,
}

/// What runs inside, and under which name.
pub(super) struct Job<'a> {
    pub(super) name: &'a str,
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<&'a str>,
    /// Added to [`SETTINGS`] and to the caller's own `SHUNT_*` variables.
    pub(super) environment: Vec<(&'a str, &'a Path)>,
    pub(super) limit: Duration,
}

impl Machine {
    /// Finds or downloads the newest Debian kernel of this version, and what boots it.
    pub(super) fn prepare(
        workspace: &Workspace,
        version: &str,
        processor: Processor,
    ) -> anyhow::Result<Self> {
        ensure!(
            env::consts::ARCH == "x86_64",
            "virtual machines are set up for x86-64 only"
        );
        let folder = workspace.target().join("vm");
        fs::create_dir_all(&folder)?;
        let qemu = qemu::Program::find_or_download(&folder).context("qemu-system-x86_64")?;
        let busybox = kernel::busybox(&folder).context("busybox")?;
        let kernel = Kernel::find_or_download(&folder, version, &busybox)
            .with_context(|| format!("a kernel {version}"))?;
        Ok(Self {
            folder,
            qemu,
            processor,
            kernel,
            busybox,
        })
    }

    /// The kernel's full version.
    pub(super) fn release(&self) -> &str {
        self.kernel.release()
    }

    /// Boots the guest, runs the job with its output on this terminal, and fails unless the job succeeds.
    pub(super) fn run(&self, workspace: &Workspace, job: &Job<'_>) -> anyhow::Result<()> {
        let image = self.folder.join(format!("{}-{}.cpio", job.name, self.release()));
        let guest = initramfs::Guest {
            busybox: &self.busybox,
            kernel: &self.kernel,
            // These stay visible, wherever they are: a checkout below /tmp would be hidden by the guest's own /tmp.
            folders: &[workspace.root().to_owned(), workspace.target()],
            script: script(workspace, job),
        };
        guest.write(&image)?;
        let status = self
            .folder
            .join(format!("{}-{}.status", job.name, self.release()));
        let (kernel, processor) = (self.kernel.image(), self.processor);
        self.qemu.boot(kernel, &image, &status, processor, job.limit)?;
        let status = fs::read_to_string(&status).context("read the guest's result")?;
        match status.trim() {
            "0" => Ok(()),
            "" => bail!("the guest ended without a result (see its messages above)"),
            code => bail!("{} ended with {code} on Linux {}", job.name, self.release()),
        }
    }
}

/// The shell script that runs the job in the guest.
fn script(workspace: &Workspace, job: &Job<'_>) -> String {
    let mut variables: BTreeMap<String, String> = SETTINGS
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    variables.extend(
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX)),
    );
    variables.extend(
        job.environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.display().to_string())),
    );
    let exports: String = variables
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", command::quote(value)))
        .collect();
    let words: Vec<String> = std::iter::once(job.program.display().to_string())
        .chain(job.arguments.iter().map(|word| (*word).to_owned()))
        .map(|word| command::quote(&word))
        .collect();
    // Cargo runs tests in their package's folder.
    let folder = command::quote(&workspace.root().join("tests/suites").display().to_string());
    format!("{exports}cd {folder}\nexec {}\n", words.join(" "))
}
