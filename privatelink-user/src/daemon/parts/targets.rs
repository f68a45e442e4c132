//! Targets in a running gateway: what is known of them is kept, and those that have drained are
//! forgotten.

use std::{collections::BTreeSet, net::IpAddr};

use log::error;

use crate::daemon::{
    Error,
    gateway::{Gateway, keep},
};
use crate::{
    chain::Chain,
    datapath::tables::Tables,
    desired::{Pools, next_hops},
    events::{of_drained, of_drains},
    model::Model,
    state::{
        State, TooMuch,
        targets::{Drains, NoRoom},
    },
    timestamp::Timestamp,
};

impl Gateway {
    /// Keeps what is known of targets, begins the drain of those that are gone from names and
    /// files, and forgets those that have drained.
    ///
    /// A disk that refuses changes nothing about who gets new flows: health counts even so.
    pub(in crate::daemon) fn follow_targets(&mut self) -> Option<String> {
        let (drains, now) = (self.store.state().drains.clone(), Timestamp::now());
        let ended = of_drained(&self.loaded.model, &drains, self.drained, now);
        self.events.publish_all(ended);
        self.drained = now;
        let failed = self.keep_targets().err()?;
        let text = format!("what is known of targets cannot be kept: {}", Chain(&failed));
        error!("{text}");
        Some(text)
    }

    fn keep_targets(&mut self) -> Result<(), Error> {
        let (state, now) = (self.store.state(), Timestamp::now());
        let (known, next) = (&state.inputs, &self.inputs);
        let moved = (&known.resolved, &known.listed) != (&next.resolved, &next.listed);
        if moved || state.drains.is_due(&self.loaded.model, &self.inputs, now) {
            let before = state.drains.clone();
            let mut next = state.clone();
            next.follow(&self.loaded.model, self.host.facts(), &self.inputs, now)?;
            let news = keep(self.store.as_mut(), &self.datapath, &next)?;
            self.events.publish_all(news);
            self.inputs = next.inputs;
            self.tell_drains(&before);
        } else if known.health != next.health {
            let changes = state.inputs_to(next);
            self.store.commit(changes)?;
        }
        Ok(())
    }

    /// Tells which targets drain that did not before.
    pub(in crate::daemon) fn tell_drains(&self, before: &Drains) {
        let after = &self.store.state().drains;
        self.events.publish_all(of_drains(&self.loaded.model, before, after, Timestamp::now()));
    }

    /// Brings the pools after what is known of targets.
    pub(in crate::daemon) fn arrange(&mut self, actual: &Tables) {
        let (model, ids) = (&self.loaded.model, &self.store.state().ids);
        self.full = self.pools.arrange(model, ids, &self.inputs, actual);
    }

    /// The pools under another configuration, if there is room for them.
    pub(in crate::daemon) fn rearranged(
        &self,
        model: &Model,
        state: &State,
    ) -> Result<Pools, TooMuch> {
        let mut pools = self.pools.clone();
        let none = Tables::default();
        let actual = self.actual.as_ref().unwrap_or(&none);
        let full = pools.arrange(model, &state.ids, &state.inputs, actual);
        full.into_iter().next().map_or(Ok(pools), |full| Err(full.into()))
    }

    /// The addresses that packets to targets are handed on to, by interface.
    pub(in crate::daemon) fn next_hops(&self) -> BTreeSet<(u32, IpAddr)> {
        let (model, state) = (&self.loaded.model, self.store.state());
        next_hops(model, state, self.host.facts(), &self.inputs, Timestamp::now())
    }

    /// The services whose targets find no room, and who says so.
    pub(in crate::daemon) fn room_problems(&self) -> impl Iterator<Item = String> {
        self.full.iter().map(NoRoom::to_string)
    }
}
