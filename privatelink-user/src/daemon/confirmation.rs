//! Waits until a change is in force on every gateway that shares the store.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use crate::{
    api::request::{Refused, Reply},
    datapath::bpf,
    etcd::Revision,
    interface::types::Connection,
    model::Name,
    state::group::{Fellow, GroupStore},
};

/// How long the other gateways may take.
const LIMIT: Duration = Duration::from_secs(2);

/// What is waited for.
pub(super) struct Confirmation {
    fellows: watch::Receiver<BTreeMap<Name, Fellow>>,
    own: Name,
    revision: Revision,
    applied: Box<dyn FnOnce() + Send>,
}

impl Confirmation {
    /// Waits for what this gateway has changed last, which is in its maps.
    pub fn of(group: &GroupStore) -> Self {
        Self {
            fellows: group.fellows(),
            own: group.membership().name.clone(),
            revision: group.revision(),
            applied: Box::new(group.applied()),
        }
    }

    /// Sends the response once no packet meets the old decision any more, on this gateway or on
    /// another; it names those that have not confirmed that in time.
    pub fn reply(self, to: Reply<Connection>, response: Result<Connection, Refused>) {
        to.note(&response);
        tokio::spawn(async move {
            let Self { mut fellows, own, revision, applied } = self;
            // Packets under way may have read the maps before they were written.
            let quiet = spawn_blocking(move || {
                bpf::quiesce();
                applied();
            });
            // It is cancelled only with the daemon.
            let _ = quiet.await;
            let late = |all: &BTreeMap<Name, Fellow>| -> Vec<String> {
                let late = all.iter().filter(|(name, one)| **name != own && one.applied < revision);
                late.map(|(name, _)| name.to_string()).collect()
            };
            let confirmed = fellows.wait_for(|all| late(all).is_empty());
            let is_confirmed = timeout(LIMIT, confirmed).await.is_ok_and(|waited| waited.is_ok());
            let unconfirmed = if is_confirmed { Vec::new() } else { late(&fellows.borrow()) };
            to.send(response.map(|connection| Connection { unconfirmed, ..connection }));
        });
    }
}
