// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the agent does with events, without its clock: index, planner, tables.

use std::collections::BTreeMap;

use dataplane::compile::Compiled;
use dataplane::index::{Event, Index, Settings};
use dataplane::model::ServiceName;
use dataplane::plan::{KernelState, Maps, Op, Plan, Planner, Resync};

/// In step with its events after every call.
pub struct Control<'a> {
    index: Index,
    planner: Planner,
    maps: &'a mut dyn Maps,
}

impl<'a> Control<'a> {
    /// Adopts what the tables hold, and brings them in step with first lists.
    pub fn start(settings: Settings, maps: &'a mut dyn Maps, lists: Vec<Event>) -> Self {
        let mut index = Index::new(settings);
        for event in lists {
            index.apply(event);
        }
        let mut planner = Planner::adopt(maps.load().expect("the tables"), maps.capacity());
        planner.set_node_network(index.node_network());
        let mut control = Self { index, planner, maps };
        let wanted = control.compile();
        let mut resync = Resync::default();
        let part = resync.part(&mut control.planner, &wanted);
        control.carry_out(part);
        let rest = resync.rest(&mut control.planner);
        control.carry_out(rest);
        control
    }

    /// Follows what a watch tells.
    pub fn follow(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.index.apply(event);
        }
        self.planner.set_node_network(self.index.node_network());
        let wanted = self.compile();
        let plan = self.planner.plan(&wanted);
        self.carry_out(plan);
    }

    /// What the tables hold, read back. Panics where the planner takes them to hold anything else.
    pub fn held(&self) -> KernelState {
        let held = self.maps.load().expect("the tables");
        assert_eq!(held, *self.planner.kernel(), "what the planner knows");
        held
    }

    fn compile(&mut self) -> BTreeMap<ServiceName, Compiled> {
        let dirty = self.index.take_dirty().into_iter();
        dirty
            .map(|name| (name.clone(), self.index.compile(&name)))
            .collect()
    }

    fn carry_out(&mut self, plan: Plan) {
        assert!(plan.shortages.is_empty(), "{:?}", plan.shortages);
        for run in plan.runs() {
            let ops: Vec<&Op> = run.iter().collect();
            let mut rest = ops.as_slice();
            while let Some(first) = rest.first() {
                let early = rest.iter().find(|op| !self.planner.admits(op));
                assert_eq!(early, None, "too early");
                let (count, result) = self.maps.apply_all(rest);
                result.unwrap_or_else(|error| panic!("{first} and {count} more: {error}"));
                let (applied, others) = rest.split_at(count);
                applied.iter().for_each(|op| self.planner.applied(op));
                rest = others;
            }
        }
    }
}
