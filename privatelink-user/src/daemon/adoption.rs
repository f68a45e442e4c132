//! Another configuration: whether it can be carried out, what it changes, and taking it over.

use log::warn;

use super::gateway::{Gateway, keep};
use crate::{
    api::{
        missing_members,
        server::{self, Door},
    },
    config::{
        self, Loaded,
        unsupported::{self, Unsupported},
    },
    daemon::Error,
    desired::{Pools, desired},
    interface::types::Difference,
    state::State,
    timestamp::Timestamp,
    view::difference::{self, Side},
};

/// A configuration that can be taken over.
pub(super) struct Prepared {
    loaded: Loaded,
    state: State,
    pools: Pools,
    warnings: Vec<Unsupported>,
}

impl Gateway {
    /// Reads the configuration on disk, if it is sound.
    pub fn read(&self) -> Result<Prepared, Error> {
        self.prepare(config::load(&self.config)?)
    }

    /// Works out what follows from a configuration, if this release can carry it out.
    pub fn prepare(&self, loaded: Loaded) -> Result<Prepared, Error> {
        let warnings = unsupported::review(&loaded)?;
        let mut state = self.store.state().clone();
        state.follow(&loaded.model, self.host.facts(), &self.inputs, Timestamp::now())?;
        let pools = self.rearranged(&loaded.model, &state)?;
        Ok(Prepared { loaded, state, pools, warnings })
    }

    /// What a configuration would change.
    pub fn compare(&self, next: &Prepared) -> Difference {
        let (model, state) = (&self.loaded.model, self.store.state());
        let mut difference = Difference::default();
        // Most reloads change nothing, and large configurations take a while to compare.
        if *model != next.loaded.model || *state != next.state {
            let (facts, inputs, now) = (self.host.facts(), &self.inputs, Timestamp::now());
            let tables = desired(model, state, facts, inputs, &self.pools, now);
            let before = Side { model, state, inputs, tables: &tables };
            let (model, state) = (&next.loaded.model, &next.state);
            let inputs = &state.inputs;
            let tables = desired(model, state, facts, inputs, &next.pools, now);
            let after = Side { model, state, inputs, tables: &tables };
            difference = difference::between(before, after, self.datapath.reader().flows());
        }
        let warning = |item: &Unsupported| format!("{}; {}", item.message(), item.help);
        difference.warnings = next.warnings.iter().map(warning).collect();
        difference
    }

    /// Takes over a configuration.
    pub fn adopt(&mut self, next: Prepared) -> Result<(), Error> {
        // On disk first: a flow must not outlive the memory of what its indices mean.
        let drains = self.store.state().drains.clone();
        let news = keep(self.store.as_mut(), &self.datapath, &next.state)?;
        for item in &next.warnings {
            warn!("{}; {}", item.message(), item.help);
        }
        missing_members(&next.loaded.model).iter().for_each(|missing| warn!("{missing}"));
        let (old, new) = (self.loaded.model.gateway(), next.loaded.model.gateway());
        for (key, same) in [
            ("max_flows", old.max_flows == new.max_flows),
            ("state_dir", old.state_dir == new.state_dir),
            ("socket", old.socket == new.socket),
            ("group", old.group == new.group),
            ("pin_dir", old.pin_dir == new.pin_dir),
        ] {
            if !same {
                warn!("the new `{key}` takes effect when the daemon is started again");
            }
        }
        let door = Door::of(&next.loaded.model);
        if let Err(error) = server::open(&self.socket, door.open) {
            warn!("cannot change who may use {}: {error}", self.socket.display());
        }
        self.loaded = next.loaded;
        self.tell_drains(&drains);
        self.records.name(&self.loaded.model, &self.store.state().ids);
        self.inputs = next.state.inputs;
        self.events.subscribe(&self.loaded.model.gateway().subscriptions, &self.socket);
        self.events.publish_all(news);
        Ok(())
    }
}
