//! What is around the gateway: its interfaces and next hops, and what changes about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use crate::{
    chain::Chain,
    datapath::bpf::Mode,
    desired::{next_hops, serving_hops},
    events::{Event, Flapping, Observation},
    host::{Host, HostFacts},
    model::Model,
    state::{State, targets::Inputs},
    timestamp::Timestamp,
};

/// The next hops in use, and what was last observed.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Surroundings {
    /// The addresses that packets to targets are handed on to, by interface.
    next_hops: BTreeSet<(u32, IpAddr)>,
    /// Those of them that lead to targets which get new flows.
    serving: BTreeSet<(u32, IpAddr)>,
    /// `None` before the gateway was ready.
    observed: Option<Observation>,
    flapping: Flapping,
}

impl Surroundings {
    /// Makes the kernel resolve every next hop and keep it resolved; returns what went wrong.
    pub async fn reconcile(
        &mut self,
        model: &Model,
        state: &State,
        inputs: &Inputs,
        host: &mut Host,
        now: Timestamp,
    ) -> Vec<String> {
        self.next_hops = next_hops(model, state, host.facts(), inputs, now);
        self.serving = serving_hops(model, state, host.facts(), inputs);
        host.watch(&self.next_hops).await.iter().map(|error| Chain(error).to_string()).collect()
    }

    /// The next hops to serving targets whose Ethernet address is not known.
    pub fn unresolved<'a>(&'a self, facts: &'a HostFacts) -> impl Iterator<Item = IpAddr> + 'a {
        let all = self.serving.iter();
        let missing = all.filter(|(ifindex, hop)| facts.neighbour(*ifindex, *hop).is_none());
        missing.map(|(_, hop)| *hop)
    }

    /// The changes since the last call.
    pub fn observe(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        attached: &BTreeMap<u32, Mode>,
    ) -> Vec<Event> {
        let now = Observation::of(model, facts, attached, &self.next_hops);
        // What a daemon finds at its start is no change, but it did attach the program itself.
        let before = self.observed.take().unwrap_or_else(|| now.clone().unattached());
        let events = now.since(&before);
        self.observed = Some(now);
        self.flapping.pass(events, Instant::now())
    }

    /// The changes that were held back because they came again and again, as one event for each
    /// next hop.
    pub fn flapping(&mut self) -> Vec<Event> {
        self.flapping.due(Instant::now())
    }
}
