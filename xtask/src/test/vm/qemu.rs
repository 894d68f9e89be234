// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starting qemu: the one on `PATH`, or the machine's own package unpacked under `target/vm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::debian::{self, Apt};
use crate::command;

const NAME: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// What runs the guest's instructions.
#[derive(Clone, Copy)]
pub(in crate::test) enum Processor {
    /// Works everywhere, and is slow.
    Emulated,
    /// KVM, which is there and hangs on some machines that are virtual themselves: used only on request.
    Hardware,
}

/// A qemu that can be started.
pub(super) enum Program {
    Installed(PathBuf),
    /// The root of the unpacked packages.
    Unpacked(PathBuf),
}

impl Program {
    pub(super) fn find_or_download(folder: &Path) -> anyhow::Result<Self> {
        if let Some(installed) = command::on_path(NAME) {
            return Ok(Self::Installed(installed));
        }
        let place = folder.join("qemu");
        if !place.exists() {
            eprintln!("vm: downloading {PACKAGE} and what it needs");
            let files = Apt::machine(folder)?.download_with_dependencies(PACKAGE)?;
            debian::unpack(&files, &place, |_| Ok(()))?;
        }
        Ok(Self::Unpacked(place))
    }

    /// Boots a kernel and waits for the guest to end. Its console is on this terminal, its second serial port is the
    /// file `status`.
    pub(super) fn boot(
        &self,
        kernel: &Path,
        initramfs: &Path,
        status: &Path,
        processor: Processor,
        limit: Duration,
    ) -> anyhow::Result<()> {
        fs::write(status, "").with_context(|| format!("write {}", status.display()))?;
        let mut qemu = self.command();
        qemu.args(match processor {
            // `cmpxchg16b` of qemu 7.2 corrupts flags. Linux 6.12 uses it if the processor has it, and corrupts memory.
            Processor::Emulated => ["-accel", "tcg", "-cpu", "max,-cx16"],
            Processor::Hardware => ["-accel", "kvm", "-cpu", "host"],
        })
        .args(["-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .args(["-serial", "stdio", "-serial"])
        .arg(format!("file:{}", status.display()))
        .args([
            "-virtfs",
            "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        ])
        .stdin(Stdio::null());
        command::show_within(&mut qemu, limit)
    }

    fn command(&self) -> Command {
        match self {
            Self::Installed(program) => Command::new(program),
            Self::Unpacked(root) => {
                let mut qemu = Command::new(root.join("usr/bin").join(NAME));
                let [usr, lib] = LIBRARIES.map(|folder| root.join(folder));
                qemu.env("LD_LIBRARY_PATH", format!("{}:{}", usr.display(), lib.display()))
                    .env("QEMU_MODULE_DIR", usr.join("qemu"));
                for data in ["usr/share/qemu", "usr/share/seabios"] {
                    qemu.arg("-L").arg(root.join(data));
                }
                qemu
            }
        }
    }
}
