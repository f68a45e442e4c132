//! What the name server counts, and what is known of it: for whoever wants to see how it does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// The codes that answers are counted by, in the order of their numbers; the last stands for all
/// others.
pub const CODES: [&str; 7] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "other"];

/// What a server has counted in one network since it was first told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkCounters {
    /// Tables that it was given, one in place of the other.
    pub tables: u64,
    /// What came in datagrams.
    pub udp: QueryCounters,
    /// What came over connections.
    pub tcp: QueryCounters,
    /// Queries that the network's own name servers have answered.
    pub forwarded: u64,
    /// Queries that none of them has answered.
    pub failed: u64,
}

/// What became of queries. Those that others are being asked are in none but the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryCounters {
    /// All of them.
    pub queries: u64,
    /// The answers, by code.
    pub answers: [u64; CODES.len()],
    /// More than the client's share: it was told to come by TCP.
    pub truncated: u64,
    /// More than the client's share: nothing was said.
    pub limited: u64,
    /// No query at all: nothing was said.
    pub ignored: u64,
}

impl QueryCounters {
    /// Counts an answer by the code in its header.
    pub fn answered(&mut self, answer: &[u8]) {
        let code = answer.get(3).map_or(usize::MAX, |flags| usize::from(flags & 0xf));
        if let Some(count) = self.answers.get_mut(code.min(CODES.len() - 1)) {
            *count += 1;
        }
    }
}

/// What is known of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// Whether it answers the daemon.
    pub up: bool,
    /// Private names that it does not serve, since their owners do not agree.
    pub conflicts: usize,
    /// What it had counted when it was last asked, by network.
    pub networks: BTreeMap<String, NetworkCounters>,
}

/// Where the latest account is. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct LatestStatus(Arc<Mutex<Option<ServerStatus>>>);

impl LatestStatus {
    /// The latest account; `None` if there are no names to serve.
    pub fn status(&self) -> Option<ServerStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in its place.
    pub(super) fn replace(&self, status: Option<ServerStatus>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_the_code_in_their_header() {
        let mut count = QueryCounters::default();
        for flags in [0, 0x80, 0x83, 5, 6, 15] {
            count.answered(&[0, 0, 0x80, flags, 0]);
        }
        assert_eq!(count.answers, [2, 0, 0, 1, 0, 1, 2]);
        count.answered(&[]);
        assert_eq!(count.answers, [2, 0, 0, 1, 0, 1, 3]);
    }
}
