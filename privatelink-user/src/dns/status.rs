//! The name server's counters and status.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Names of the response codes that answers are counted by, by number; the last is for all others.
pub const CODES: [&str; 7] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "other"];

/// Counters of one network since the server started to serve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkCounters {
    /// Name tables loaded.
    pub tables: u64,
    /// Queries over UDP.
    pub udp: QueryCounters,
    /// Queries over TCP.
    pub tcp: QueryCounters,
    /// Forwarded queries that one of the network's name servers has answered.
    pub forwarded: u64,
    /// Forwarded queries that none of them has answered.
    pub failed: u64,
}

/// Counters of queries by result. A query being forwarded is counted in `queries` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryCounters {
    /// Queries received.
    pub queries: u64,
    /// Answers sent, by response code.
    pub answers: [u64; CODES.len()],
    /// Queries over the rate limit that got a truncated answer, which makes clients retry over TCP.
    pub truncated: u64,
    /// Queries over the rate limit that got no answer.
    pub limited: u64,
    /// Datagrams that are not valid queries.
    pub ignored: u64,
}

impl QueryCounters {
    /// Counts an answer by the response code in its header.
    pub fn answered(&mut self, answer: &[u8]) {
        let code = answer.get(3).map_or(usize::MAX, |flags| usize::from(flags & 0xf));
        if let Some(count) = self.answers.get_mut(code.min(CODES.len() - 1)) {
            *count += 1;
        }
    }
}

/// The status of the name server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// Whether it responds to the daemon.
    pub up: bool,
    /// Number of private names that are not served because their owners have not confirmed them.
    pub conflicts: usize,
    /// The latest counters, by network.
    pub networks: BTreeMap<String, NetworkCounters>,
}

/// Holds the latest status. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LatestStatus(Arc<Mutex<Option<ServerStatus>>>);

impl LatestStatus {
    /// The latest status; `None` if there are no names to serve.
    pub fn status(&self) -> Option<ServerStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the status.
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
