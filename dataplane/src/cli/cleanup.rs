// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt cleanup`: restores the node as it was before Shunt.

use super::args::RootArgs;
use super::output::line;
use crate::devices::SendRedirects;
use crate::kernel::{PinnedMaps, Pins, detach, detach_sockets};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    root: RootArgs,
}

/// Detaches first, so that no packet sees half of the maps. Services stop working here.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let pins = Pins::new(&args.root.bpf_root);
    let calls = detach_sockets(&pins)?;
    let mut detached = 0;
    if let Ok(maps) = PinnedMaps::open(&pins) {
        for (index, device) in maps.devices.iter().flatten() {
            let Ok(name) = nix::net::if_::if_indextoname(index) else {
                continue;
            };
            let name = name.to_string_lossy();
            detach(&pins, &name, index)?;
            detached += 1;
            SendRedirects::restore(&name, device.send_redirects != 0);
        }
        let config = maps.config.get(&0, 0).unwrap_or_default();
        SendRedirects::restore(SendRedirects::ALL, config.send_redirects_all != 0);
    }
    pins.remove_others()?;
    pins.remove()?;
    line(
        std::io::stdout(),
        &format!(
            "detached from {detached} devices and {calls} socket calls, nothing left at {}",
            pins.root().display()
        ),
    );
    Ok(())
}
