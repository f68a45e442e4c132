//! One network as the workers see it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use super::{limit::Limiter, proof::Proofs, table::Table};
use crate::dns::{record::ServedNames, status::NetworkCounters};

/// Conversations over TCP at a time.
const CONNECTIONS: usize = 128;
/// Queries that wait for other name servers at a time.
const FORWARDED: usize = 256;

/// What one network is served, and what it may take of the server.
#[derive(Debug)]
pub struct Network {
    served: RwLock<Arc<Snapshot>>,
    limiter: Mutex<Limiter>,
    counters: Mutex<NetworkCounters>,
    /// Room for conversations.
    pub connections: Arc<Semaphore>,
    /// Room for queries that others answer.
    pub forwarded: Semaphore,
}

/// What is served at the moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The answers.
    pub table: Table,
    /// What was to be served, proven or not.
    names: ServedNames,
}

impl Snapshot {
    fn new(names: ServedNames, proofs: &Proofs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Serial numbers go round.
        let serial = u32::try_from(now.as_secs() & u64::from(u32::MAX)).unwrap_or(0);
        // A name that is not proven is nobody's here.
        let unproven = names.claims().filter(|claim| !proofs.is_proven(claim));
        let unproven: Vec<String> = unproven.map(|claim| claim.name).collect();
        let mut served = names.clone();
        served.zones.retain(|apex, _| !unproven.contains(apex));
        Self { table: Table::new(&served, serial), names }
    }

    /// The interface that leads to the network.
    pub fn interface(&self) -> &str {
        &self.names.interface
    }

    /// All that was to be served.
    pub fn names(&self) -> &ServedNames {
        &self.names
    }
}

impl Network {
    /// Serves these names.
    pub fn new(names: ServedNames, proofs: &Proofs) -> Self {
        Self {
            limiter: Mutex::new(Limiter::new(names.rate)),
            counters: Mutex::new(NetworkCounters { tables: 1, ..NetworkCounters::default() }),
            served: RwLock::new(Arc::new(Snapshot::new(names, proofs))),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            forwarded: Semaphore::new(FORWARDED),
        }
    }

    /// Serves other names from now on.
    pub fn replace(&self, names: ServedNames, proofs: &Proofs) {
        if self.served().names.rate != names.rate {
            *self.limiter() = Limiter::new(names.rate);
        }
        let next = Arc::new(Snapshot::new(names, proofs));
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.counters().tables += 1;
    }

    /// What is served at the moment.
    pub fn served(&self) -> Arc<Snapshot> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was counted. Whoever holds the limiter as well took that first.
    pub fn counters(&self) -> MutexGuard<'_, NetworkCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who gets how much.
    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
