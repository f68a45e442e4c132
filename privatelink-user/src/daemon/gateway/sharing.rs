//! What other gateways of the group change: from the store to what packets meet.

use std::collections::BTreeSet;

use log::{error, info};
use tokio::task::spawn_blocking;

use super::{Error, Gateway};
use crate::{
    api::request::Refused,
    chain::Chain,
    daemon::{adoption, confirmation::Confirmation, joining, parts},
    datapath::bpf,
    events::of_connections,
    interface::types::Fleet,
};

impl Gateway {
    /// Takes in what other gateways have changed. `true` if all is to be reconciled.
    pub fn take_in(&mut self) -> Result<bool, Error> {
        let Some(group) = self.store.group_mut() else { return Ok(false) };
        let taken = match group.take_in() {
            Ok(taken) => taken,
            Err(error) => {
                error!("cannot take in what other gateways have changed: {}", Chain(&error));
                return Ok(true);
            }
        };
        let is_followed = group.is_followed();
        let at = self.clock.moment();
        self.events.publish_all(of_connections(&taken.before, &taken.after, at.ahead));
        if taken.keys {
            self.follow_keys();
        }
        if !is_followed {
            let adopted = self.follow_objects();
            if let Err(error) = &adopted {
                error!("cannot follow the objects of the group: {}", Chain(error));
            }
            self.sharing.note(&adopted);
        }
        if taken.state {
            self.records.name(&self.model, &self.store.state().ids);
            self.write_maps(at.now)?;
            self.publish_metrics();
            self.report_applied();
        }
        Ok(!is_followed || taken.standing)
    }

    /// Adopts the objects that other gateways have written.
    fn follow_objects(&mut self) -> Result<(), Error> {
        let objects = self.objects().clone();
        let loaded = self.sources.with_objects(&objects, &BTreeSet::new()).load()?;
        let next = adoption::prepare_objects(&self.snapshot(), loaded, objects)?;
        self.adopt_objects(next)?;
        info!("objects that another gateway has written are in force");
        Ok(())
    }

    /// Tells the group what is in force here, once no packet meets anything older.
    pub(super) fn report_applied(&self) {
        if let Some(group) = self.store.group() {
            let applied = group.applied();
            spawn_blocking(move || {
                bpf::quiesce();
                applied();
            });
        }
    }

    /// Tells the group which configuration this gateway has.
    pub(super) fn announce(&mut self) {
        let hello = joining::hello(&self.model, &self.origins, self.begun);
        if let Some(group) = self.store.group_mut() {
            group.announce(hello);
        }
    }

    /// What waits for the other gateways, if there may be some.
    pub fn confirmation(&self) -> Option<Confirmation> {
        self.store.group().filter(|group| group.down().is_none()).map(Confirmation::of)
    }

    /// The group that this gateway belongs to.
    pub fn fleet(&self) -> Result<Fleet, Refused> {
        let none = || {
            let error = "this gateway shares its state with no other: there is no [store] in its \
                         configuration";
            Refused::Failed(error.into())
        };
        self.store.group().map(parts::sharing::fleet).ok_or_else(none)
    }
}
