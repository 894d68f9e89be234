// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agents are killed under load: traffic goes on, and new agents take over what they find.

use crate::agent::Agent;
use crate::error::Result;
use crate::workloads::none_failed;

use super::expect;
use super::screen::Screen;
use super::stage::Stage;

/// Returns the number of requests made.
pub(super) fn play(stage: &mut Stage, screen: &Screen) -> Result<u64> {
    screen.chapter("kill -9 of both agents, while clients run");
    let mut fresh = stage
        .client
        .load("my-httpd:80", &["--rate", "250", "--family", "v4"])?;
    let open = stage.other_client.load(
        "my-httpd:80",
        &["--rate", "100", "--keep-alive", "--family", "v4"],
    )?;
    let before: Vec<_> = stage.lab.nodes().iter().map(crate::node::Node::pins).collect();

    for node in stage.lab.nodes() {
        stage.lab.agent(node.number().into(), Agent::kill9)?;
    }
    let alone = fresh.next(300)?;
    none_failed(&alone)?;
    screen.say(&format!(
        "no agent:    {} requests, 0 failed: the kernel needs no agent to route",
        alone.sent
    ));

    for node in stage.lab.nodes() {
        stage.lab.agent(node.number().into(), Agent::restart)?;
    }
    let after: Vec<_> = stage.lab.nodes().iter().map(crate::node::Node::pins).collect();
    let found = before.iter().all(|pins| !pins.is_empty());
    expect(found && before == after, || {
        format!("pinned objects were made anew: {before:#?} {after:#?}")
    })?;
    let count: usize = after.iter().map(|pins| pins.len()).sum();
    screen.say(&format!(
        "new agents:  adopted all {count} pinned maps and links, none made anew"
    ));

    let new = stage.start_pod("after the crash")?;
    stage.replicas = vec![new];
    stage.lead_to_replicas()?;
    let moved = fresh.next(100)?;
    let versions: Vec<_> = moved.by_version.keys().cloned().collect();
    expect(versions == ["after the crash"], || {
        format!("old pods still answer: {moved:?}")
    })?;
    screen.say("             and program the next change: a new pod takes over all new connections");

    let (fresh, open) = (fresh.stop()?, open.stop()?);
    none_failed(&fresh)?;
    none_failed(&open)?;
    expect(open.by_pod.len() == 1, || {
        format!("the open connection was not kept: {open:?}")
    })?;
    screen.say(&format!(
        "in all:      {} requests, 0 failed; one open connection carried {} of them",
        fresh.sent + open.sent,
        open.sent
    ));
    Ok(fresh.sent + open.sent)
}
