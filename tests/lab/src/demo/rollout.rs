// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Deployments do, while clients run: scale, rolling update, blue/green, canary. No request may fail.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::pod::Pod;
use crate::programs::load::Counts;
use crate::workloads::{Load, none_failed};

use super::expect;
use super::screen::{Screen, Tone};
use super::stage::Stage;

const WIDTHS: [usize; 3] = [36, 8, 6];

/// Returns the number of requests made.
pub(super) fn play(stage: &mut Stage, screen: &Screen) -> Result<u64> {
    screen.chapter("Deployments change while clients run (a new lookup and connection per request)");
    screen.row(
        &WIDTHS,
        &["", "requests", "failed", "answered by"],
        Some(Tone::Faint),
    );
    let mut load = stage
        .client
        .load("my-httpd:80", &["--rate", "250", "--family", "v4"])?;
    report(screen, "1 replica", &load.next(100)?, |counts| &counts.by_pod)?;
    scale_up(stage, &mut load, screen)?;
    rolling_update(stage, &mut load, screen)?;
    let kept = blue_green(stage, &mut load, screen)?;
    canary(stage, &mut load, screen)?;
    let all = load.stop()?;
    none_failed(&all)?;
    Ok(all.sent + kept)
}

fn scale_up(stage: &mut Stage, load: &mut Load, screen: &Screen) -> Result<()> {
    let before = load.counts()?;
    let new = stage.start_pods(2, "v1")?;
    stage.replicas.extend(new);
    stage.lead_to_replicas()?;
    load.next(200)?;
    let counts = load.counts()?.since(&before);
    expect(counts.by_pod.len() == 3, || {
        format!("not all three pods answered: {counts:?}")
    })?;
    report(screen, "scale to 3 replicas", &counts, |counts| &counts.by_pod)
}

/// One pod at a time: a new one starts and becomes ready, an old one is marked terminating, gets no new
/// connections, and is stopped.
fn rolling_update(stage: &mut Stage, load: &mut Load, screen: &Screen) -> Result<()> {
    let before = load.counts()?;
    for old in stage.replicas.clone() {
        let new = stage.start_pod("v2")?;
        stage.replicas.push(new);
        stage.lead_to_replicas()?;
        stage.replicas.retain(|pod| pod.name() != old.name());
        let mut endpoints: Vec<_> = stage.replicas.iter().map(Pod::ready).collect();
        endpoints.push(old.ready().terminating());
        stage.lead_to(&endpoints)?;
        load.next(40)?;
        stage.stop_pod(&old)?;
        stage.lead_to_replicas()?;
    }
    load.next(60)?;
    let counts = load.counts()?.since(&before);
    report(screen, "rolling update v1 to v2, pod by pod", &counts, |counts| {
        &counts.by_version
    })?;
    only(&load.next(60)?, "v2")
}

/// The Service's selector moves from blue to green at once; a connection opened before stays with blue.
fn blue_green(stage: &mut Stage, load: &mut Load, screen: &Screen) -> Result<u64> {
    let mut open = stage.other_client.load(
        "my-httpd:80",
        &["--rate", "100", "--keep-alive", "--family", "v4"],
    )?;
    open.next(20)?;
    let (before, before_open) = (load.counts()?, open.counts()?);
    let green = stage.start_pods(3, "green")?;
    let blue = std::mem::replace(&mut stage.replicas, green);
    stage.httpd.select("version", "green")?;
    stage.lead_to_replicas()?;
    only(&load.next(100)?, "green")?;
    let on_open = open.next(50)?;
    only(&on_open, "v2")?;
    let counts = load.counts()?.since(&before);
    report(screen, "blue/green switch by selector", &counts, |counts| {
        &counts.by_version
    })?;
    let counts = open.counts()?.since(&before_open);
    report(screen, "  a connection opened before it", &counts, |counts| {
        &counts.by_version
    })?;
    let all = open.stop()?;
    none_failed(&all)?;
    blue.iter().try_for_each(|pod| stage.stop_pod(pod))?;
    Ok(all.sent)
}

/// Nine stable pods and one canary, as Kubernetes does it: by the number of pods.
fn canary(stage: &mut Stage, load: &mut Load, screen: &Screen) -> Result<()> {
    let stable = stage.start_pods(6, "green")?;
    stage.replicas.extend(stable);
    let canary = stage.start_pod("canary")?;
    stage.replicas.push(canary);
    stage.lead_to_replicas()?;
    let counts = load.next(1000)?;
    let share = counts.by_version.get("canary").copied().unwrap_or_default() * 100 / counts.sent.max(1);
    expect((3..=20).contains(&share), || {
        format!("the canary's share is {share} %: {counts:?}")
    })?;
    report(screen, "canary, 1 pod of 10", &counts, |counts| {
        &counts.by_version
    })
}

fn only(counts: &Counts, version: &str) -> Result<()> {
    let alone = counts.by_version.keys().all(|answered| answered == version);
    expect(alone, || {
        format!("expected answers of {version} alone: {counts:?}")
    })
}

fn report(
    screen: &Screen,
    step: &str,
    counts: &Counts,
    by: impl Fn(&Counts) -> &BTreeMap<String, u64>,
) -> Result<()> {
    none_failed(counts)?;
    let spread: Vec<_> = by(counts)
        .iter()
        .map(|(who, count)| format!("{who} {count}"))
        .collect();
    let (sent, failed) = (counts.sent.to_string(), counts.failed.to_string());
    screen.row(&WIDTHS, &[step, &sent, &failed, &spread.join("  ")], None);
    Ok(())
}
