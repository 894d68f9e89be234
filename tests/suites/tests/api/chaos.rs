// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever happens on the way, an agent ends where a new one begins.

use apiserver::{Cluster, Ending, Fault, Fixture, Garble, Resource, Rule, User, Verb};

use crate::agent::Agent;
use crate::fixture;
use crate::objects::{HEADLESS, labelled, service, service_key, slice, slice_key};
use crate::tables::Tables;

/// Repeatable dice (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn change(fixture: &Fixture, dice: &mut Dice) {
    let name = dice.pick(&NAMES);
    let slice_name = format!("{name}-{}", dice.roll(2));
    // Few addresses for many Services: some claim the same one.
    let n = u8::try_from(1 + dice.roll(12)).unwrap();
    let mut odd = service(name, n);
    odd["spec"]["ports"] = 7.into();
    let object = match dice.roll(10) {
        0..3 => service(name, n),
        3 => labelled(service(name, n), HEADLESS, ""),
        4 => odd,
        5..8 => {
            let addresses: Vec<_> = (0..dice.roll(4))
                .map(|_| format!("10.0.0.{}", 1 + dice.roll(9)))
                .collect();
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            slice(&slice_name, dice.pick(&NAMES), &addresses)
        }
        rest => {
            let key = if rest == 8 {
                service_key(name)
            } else {
                slice_key(&slice_name)
            };
            fixture.delete(&key);
            return;
        }
    };
    fixture.put(object).unwrap();
}

fn trouble(fixture: &Fixture, dice: &mut Dice) {
    let resource = dice.pick(&[Resource::Services, Resource::EndpointSlices]);
    let once = |fault| Rule::always(fault).of(resource).times(1);
    match dice.roll(9) {
        0 => fixture.end_watches(Some(resource), Ending::Abort),
        1 => fixture.end_watches(None, Ending::Clean),
        2 => fixture.compact(),
        3 => fixture.send_bookmarks(None),
        4 => fixture.fail(once(Fault::Garble(dice.pick(&[
            Garble::Half,
            Garble::NotJson,
            Garble::NotAnEvent,
        ])))),
        5 => fixture.fail(once(Fault::GoneEvent).on(Verb::Watch)),
        6 => fixture.fail(once(Fault::CutList).on(Verb::List)),
        7 => fixture.fail(once(Fault::Answer {
            code: dice.pick(&[403, 500]),
            retry_after: None,
        })),
        _ => {
            fixture.refuse_connections();
            change(fixture, dice);
            fixture.admit_connections();
        }
    }
}

#[tokio::test]
async fn an_agent_in_trouble_ends_where_a_new_one_begins() {
    for seed in 1..=5 {
        let cluster = Cluster::start().unwrap();
        let Some(fixture) = fixture(&cluster, "trouble of every kind") else {
            return;
        };
        let kubeconfig = fixture.token_kubeconfig(User::Agent).unwrap();
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let agent = Agent::start(&kubeconfig, Tables::default()).await;
        for step in 0..120 {
            change(fixture, &mut dice);
            if step % 12 == 11 {
                trouble(fixture, &mut dice);
            }
            tokio::time::sleep(std::time::Duration::from_millis(dice.roll(20))).await;
        }
        fixture.heal();
        let fresh = Agent::start(&kubeconfig, Tables::default()).await;
        fresh.ready().await;
        let wanted = fresh.tables.served();
        println!("seed {seed}: {wanted:?}");
        agent
            .until(&format!("seed {seed}: {wanted:#?}"), |agent| {
                agent.tables.served() == wanted
            })
            .await;
        agent
            .until("no leftovers", |agent| {
                agent.tables.sizes() == fresh.tables.sizes()
            })
            .await;
    }
}
