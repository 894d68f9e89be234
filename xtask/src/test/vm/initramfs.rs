// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's first file system: busybox, the modules that reach the host's files, and the script that starts the job.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::kernel::Kernel;
use crate::command;

/// What is needed before the host's files can be read; all other modules are loaded from there.
const FIRST_MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];
const EXECUTABLE: u32 = 0o100_755;
const REGULAR: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;

/// Everything that the archive is made of.
pub(super) struct Guest<'a> {
    pub(super) busybox: &'a Path,
    pub(super) kernel: &'a Kernel,
    /// Folders of the host that the guest sees at the same place.
    pub(super) folders: &'a [PathBuf],
    /// What `/bin/sh` runs when the guest is ready.
    pub(super) script: String,
}

impl Guest<'_> {
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut archive = Archive::default();
        for folder in [
            "bin",
            "dev",
            "proc",
            "sys",
            "host",
            "base",
            "sbin",
            "lib",
            "lib/modules",
            "modules",
        ] {
            archive.add(folder, FOLDER, &[]);
        }
        archive.add("bin/busybox", EXECUTABLE, &fs::read(self.busybox)?);
        for (at, module) in self.kernel.modules(&FIRST_MODULES)?.iter().enumerate() {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(module).with_context(|| format!("read {}", module.display()))?;
            archive.add(&format!("modules/{at:02}-{name}"), REGULAR, &bytes);
        }
        archive.add("init", EXECUTABLE, self.init().as_bytes());
        archive.add("job", REGULAR, self.script.as_bytes());
        fs::write(file, archive.finish()).with_context(|| format!("write {}", file.display()))
    }

    /// The kernel looks for `/sbin/modprobe` where process 1 is. So process 1 stays outside of the host's files, and
    /// modules are loaded without the host's help.
    fn init(&self) -> String {
        let modules = command::quote(&format!("/host{}", self.kernel.module_folder().display()));
        let release = command::quote(self.kernel.release());
        let folders: Vec<String> = self
            .folders
            .iter()
            .map(|folder| command::quote(&folder.display().to_string()))
            .collect();
        format!(
            r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t devtmpfs none /dev
ln -s /bin/busybox /sbin/modprobe
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 host /host || poweroff -f
mount -o bind /host /base
ln -s {modules} /lib/modules/{release}
mount -t proc none /host/proc
mount -t sysfs none /host/sys
mount -t devtmpfs none /host/dev
mount -t cgroup2 none /host/sys/fs/cgroup
mount -t bpf none /host/sys/fs/bpf
for folder in tmp run var/tmp; do mount -t tmpfs none "/host/$folder"; done
for folder in {folders}; do
    [ -d "/host$folder" ] && continue
    mkdir -p "/host$folder"
    mount -o bind "/base$folder" "/host$folder"
done
cp /job /host/run/job
ifconfig lo up
ulimit -n 65536
stty -onlcr
HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot /host /bin/sh /run/job
echo $? > /dev/ttyS1
poweroff -f
"#,
            folders = folders.join(" "),
        )
    }
}

/// A cpio archive in the format that the kernel unpacks ("newc").
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let size = content.len();
        let fields = [
            self.entries as usize,
            mode as usize,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        let mut header = "070701".to_owned();
        for field in fields {
            // Writing to a String cannot fail.
            let _ = write!(header, "{field:08x}");
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_carry_their_sizes() {
        let mut archive = Archive::default();
        archive.add("init", EXECUTABLE, b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("07070100000001000081ed"));
        assert_eq!(&text[54..62], "00000005");
        assert_eq!(&text[94..102], "00000005");
        assert_eq!(&text[110..116], "init\0\0");
        assert_eq!(&text[116..124], "hello\0\0\0");
        assert!(text[124..].starts_with("070701"));
        assert!(text.contains("TRAILER!!!"));
        assert_eq!(text.len() % 4, 0);
    }
}
