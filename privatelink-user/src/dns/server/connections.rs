//! The TCP connections of one network: how many there may be, and which one gives way.
//!
//! A client with many connections closes its own by that, and whoever comes last is heard: else one
//! host would keep all others out with connections on which it asks nothing (RFC 7766, section
//! 6.2.2).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

/// Maximum number of connections of a network.
const MOST: usize = 128;
/// Maximum number of connections of a client.
const MOST_OF_CLIENT: usize = 16;

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    client: IpAddr,
    /// The time of its last query.
    used: Instant,
    /// Dropped to end it.
    _end: oneshot::Sender<()>,
}

/// An open connection, until this is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    connections: &'a Connections,
    number: u64,
}

impl Connections {
    /// Adds a connection, for which another one may have to end. The receiver resolves when this
    /// one has to.
    pub fn enter(&self, client: IpAddr, now: Instant) -> (Place<'_>, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        let mut open = self.lock();
        if let Some(number) = open.gives_way(client) {
            open.by_number.remove(&number);
        }
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Connection { client, used: now, _end: end });
        (Place { connections: self, number }, ended)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection that has to end if a client opens one more: its own if it has its share, else
    /// one of those who have most. Of several, the one that was not used for longest.
    fn gives_way(&self, client: IpAddr) -> Option<u64> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for connection in self.by_number.values() {
            *counts.entry(connection.client).or_default() += 1;
        }
        let count = |client: IpAddr| counts.get(&client).copied().unwrap_or_default();
        let least = if count(client) >= MOST_OF_CLIENT {
            return self.longest_unused(|one| one == client);
        } else if self.by_number.len() >= MOST {
            counts.values().copied().max()?
        } else {
            return None;
        };
        self.longest_unused(|one| count(one) == least)
    }

    fn longest_unused(&self, is_candidate: impl Fn(IpAddr) -> bool) -> Option<u64> {
        let candidates = self.by_number.iter().filter(|(_, one)| is_candidate(one.client));
        candidates.min_by_key(|(_, one)| one.used).map(|(number, _)| *number)
    }
}

impl Place<'_> {
    /// Notes that a query has come.
    pub fn used(&self, now: Instant) {
        if let Some(connection) = self.connections.lock().by_number.get_mut(&self.number) {
            connection.used = now;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::from((0x0a01_0000 + number).to_be_bytes())
    }

    fn has_ended(ended: &mut oneshot::Receiver<()>) -> bool {
        !matches!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn a_client_with_many_connections_ends_its_own() {
        let connections = Connections::default();
        let begin = Instant::now();
        let (_other, mut other) = connections.enter(client(1), begin);
        let mut places: Vec<_> = (0..MOST_OF_CLIENT)
            .map(|_| connections.enter(client(2), begin + Duration::from_secs(1)))
            .collect();
        places[0].0.used(begin + Duration::from_secs(2));
        let newest = connections.enter(client(2), begin + Duration::from_secs(3));
        let ended: Vec<usize> =
            (0..places.len()).filter(|index| has_ended(&mut places[*index].1)).collect();
        assert_eq!(ended, [1], "the first was used since, the second is the oldest then");
        assert!(!has_ended(&mut other));
        drop((places, newest));
        assert_eq!(connections.lock().by_number.len(), 1);
    }

    #[test]
    fn a_full_network_takes_one_more_client() {
        let connections = Connections::default();
        let begin = Instant::now();
        let mut few: Vec<_> =
            (0..MOST as u32).map(|number| connections.enter(client(number / 8), begin)).collect();
        let _more = connections.enter(client(0), begin);
        let newcomer = connections.enter(client(1_000), begin);
        assert_eq!(connections.lock().by_number.len(), MOST);
        let ended = few.iter_mut().map(|one| has_ended(&mut one.1)).filter(|ended| *ended).count();
        assert_eq!(ended, 2, "of those who had most");
        drop((few, newcomer));
    }
}
