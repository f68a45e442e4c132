//! The state of one network that all workers share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use super::{connections::Connections, limit::Limiter, proof::Proofs, table::Table};
use crate::dns::{record::ServedNames, status::NetworkCounters};

/// Maximum number of queries that wait for other name servers.
const FORWARDED: usize = 256;

/// A network's names, and its limits.
#[derive(Debug)]
pub struct Network {
    served: RwLock<Arc<NetworkSnapshot>>,
    limiter: Mutex<Limiter>,
    counters: Mutex<NetworkCounters>,
    /// The TCP connections.
    pub connections: Connections,
    /// Permits for forwarded queries.
    pub forwarded: Semaphore,
}

/// The names that are served at one moment.
#[derive(Debug)]
pub struct NetworkSnapshot {
    /// The prepared answers.
    pub table: Table,
    /// All names of the network, including unproven ones.
    names: ServedNames,
}

impl NetworkSnapshot {
    fn new(names: ServedNames, proofs: &Proofs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Serial numbers wrap around (RFC 1982).
        let serial = u32::try_from(now.as_secs() & u64::from(u32::MAX)).unwrap_or(0);
        // Zones with an unproven claim are left out.
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

    /// All names of the network, including unproven ones.
    pub fn names(&self) -> &ServedNames {
        &self.names
    }
}

impl Network {
    /// A network with these names.
    pub fn new(names: ServedNames, proofs: &Proofs) -> Self {
        Self {
            limiter: Mutex::new(Limiter::new(names.rate)),
            counters: Mutex::new(NetworkCounters { tables: 1, ..NetworkCounters::default() }),
            served: RwLock::new(Arc::new(NetworkSnapshot::new(names, proofs))),
            connections: Connections::default(),
            forwarded: Semaphore::new(FORWARDED),
        }
    }

    /// Replaces the names.
    pub fn replace(&self, names: ServedNames, proofs: &Proofs) {
        if self.served().names.rate != names.rate {
            *self.limiter() = Limiter::new(names.rate);
        }
        let next = Arc::new(NetworkSnapshot::new(names, proofs));
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.counters().tables += 1;
    }

    /// The names that are served now.
    pub fn served(&self) -> Arc<NetworkSnapshot> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The counters. Lock order: the limiter first.
    pub fn counters(&self) -> MutexGuard<'_, NetworkCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rate limiter. Lock order: before the counters.
    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
