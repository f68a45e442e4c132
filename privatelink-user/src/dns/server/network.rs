//! One network as the workers see it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use super::{limit::Limiter, table::Table};
use crate::dns::Names;

/// Conversations over TCP at a time.
const CONNECTIONS: usize = 128;
/// Queries that wait for other name servers at a time.
const FORWARDED: usize = 256;

/// What one network is served, and what it may take of the server.
#[derive(Debug)]
pub struct Network {
    served: RwLock<Arc<Served>>,
    limiter: Mutex<Limiter>,
    /// Room for conversations.
    pub connections: Arc<Semaphore>,
    /// Room for queries that others answer.
    pub forwarded: Semaphore,
}

/// What is served at the moment.
#[derive(Debug)]
pub struct Served {
    /// The answers.
    pub table: Table,
    /// The interface that leads to the network.
    pub interface: String,
    rate: u64,
}

impl Served {
    fn new(names: &Names) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Serial numbers go round.
        let serial = u32::try_from(now.as_secs() & u64::from(u32::MAX)).unwrap_or(0);
        Self {
            table: Table::new(names, serial),
            interface: names.interface.clone(),
            rate: names.rate,
        }
    }
}

impl Network {
    /// Serves these names.
    pub fn new(names: &Names) -> Self {
        Self {
            served: RwLock::new(Arc::new(Served::new(names))),
            limiter: Mutex::new(Limiter::new(names.rate)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            forwarded: Semaphore::new(FORWARDED),
        }
    }

    /// Serves other names from now on.
    pub fn replace(&self, names: &Names) {
        let next = Served::new(names);
        if self.served().rate != next.rate {
            *self.limiter() = Limiter::new(next.rate);
        }
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// What is served at the moment.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who gets how much.
    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
