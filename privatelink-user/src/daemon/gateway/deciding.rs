//! Decisions about connections: from a caller to what packets meet.

use super::{ATTEMPTS, Gateway};
use crate::{
    access::Caller,
    api::request::Refused,
    chain::Chain,
    daemon::parts::{Undecided, acceptance},
    interface::types::Connection,
    state::{self, connection::Decision},
};

impl Gateway {
    /// Applies a caller's decision. Once this returns, it is on disk and in the maps.
    pub fn decide(
        &mut self,
        caller: &Caller,
        endpoint: &str,
        decision: Decision,
        reason: String,
    ) -> Result<Connection, Refused> {
        let at = self.clock.moment();
        let mut attempts = ATTEMPTS;
        let events = loop {
            let (store, what) = (self.store.as_mut(), (decision, reason.clone()));
            match acceptance::decide(&self.model, store, caller, endpoint, what, at) {
                Ok(events) => break events,
                // The decision is about what the connection has become.
                Err(Undecided::Unkept(state::Error::Conflict)) if attempts > 0 => {
                    attempts -= 1;
                    self.take_in().map_err(Refused::from)?;
                }
                Err(undecided) => return Err(undecided.into()),
            }
        };
        self.events.publish_all(events);
        self.write_maps(at.now).map_err(|error| {
            let error = Chain(&error);
            Refused::Failed(format!("decided, but not yet in force; retrying: {error}"))
        })?;
        self.backbone.follow(&self.model, self.store.state());
        self.publish_metrics();
        self.snapshot().connections().describe(&caller.rights, endpoint)
    }
}
