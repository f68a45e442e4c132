//! The state itself, and how it follows the configuration.

use std::collections::BTreeSet;

use super::{
    addresses::{Addresses, NoAddress},
    beside::Beside,
    connection::{self, Connections},
    ids::{Exhausted, Ids},
    keys::Keys,
    objects::{Objects, Replies},
    targets::{Drains, Inputs, NoRoom, indexed},
};
use crate::{
    host::HostFacts,
    model::{Model, Name},
    timestamp::Timestamp,
};

/// Everything that is kept across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The indices by which maps and flows name things.
    pub ids: Ids,
    /// The addresses that were assigned to endpoints.
    pub addresses: Addresses,
    /// The connections, and the decisions about them.
    pub connections: Connections,
    /// The targets that drain, and when each drain ends.
    pub drains: Drains,
    /// What was known of targets. A daemon that starts continues from there: healthy targets keep
    /// getting new flows, and unhealthy ones get none.
    pub inputs: Inputs,
    /// The access keys.
    pub keys: Keys,
    /// The objects that the API has made.
    pub objects: Objects,
    /// Answers to requests that may be sent again.
    pub replies: Replies,
    /// The endpoints that were rejected here while the store that gateways share could not be
    /// reached: it has to learn that.
    pub unpushed: BTreeSet<Name>,
}

/// A configuration asks for more than the gateway has room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// More things than the maps hold.
    #[error(transparent)]
    Indices(#[from] Exhausted),
    /// More addresses than a network has.
    #[error(transparent)]
    Addresses(#[from] NoAddress),
    /// More targets than pools hold.
    #[error(transparent)]
    Pools(#[from] NoRoom),
}

impl State {
    /// Updates everything to a configuration and what is known of targets: what is new gets
    /// indices, addresses and connections, what was removed loses them, and what stays keeps them.
    ///
    /// # Errors
    /// When the configuration asks for more than there is room for; nothing is changed then.
    pub fn follow(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        inputs: &Inputs,
        now: Timestamp,
    ) -> Result<(), TooMuch> {
        self.follow_beside(model, facts, inputs, now, &Beside::none())
    }

    /// As [`State::follow`], beside other gateways that share this state.
    ///
    /// # Errors
    /// As [`State::follow`].
    pub fn follow_beside(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        inputs: &Inputs,
        now: Timestamp,
        beside: &Beside,
    ) -> Result<(), TooMuch> {
        let mut addresses = self.addresses.clone();
        addresses.assign(model, facts, beside)?;
        let inputs = inputs.following(model, &self.ids, &self.drains, now);
        let mut drains = self.drains.clone();
        drains.follow(self.ids.targets(), model, &inputs, now);
        self.ids.assign(model, indexed(model, &inputs, &drains), beside)?;
        self.addresses = addresses;
        (self.drains, self.inputs) = (drains, inputs);
        connection::follow(&mut self.connections, model, now, beside);
        self.unpushed.retain(|name| self.connections.contains_key(name));
        Ok(())
    }
}
