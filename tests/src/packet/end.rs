//! Ends of a conversation, some of which the gateway chooses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Identification;

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Known beforehand.
    At(SocketAddr),
    /// The source address and port that the gateway chose for the flow of this number.
    Given(usize),
}

impl From<SocketAddr> for End {
    fn from(address: SocketAddr) -> Self {
        Self::At(address)
    }
}

/// What the gateway chose so far, by number of the flow.
#[derive(Clone, Debug, Default)]
pub struct Given {
    sources: Vec<Option<SocketAddr>>,
    identifications: BTreeMap<Identification, u32>,
}

impl Given {
    /// What was chosen for a flow, if it is known.
    pub fn of(&self, number: usize) -> Option<SocketAddr> {
        self.sources.get(number).copied().flatten()
    }

    /// Notes what was chosen for a flow.
    pub fn learn(&mut self, number: usize, address: SocketAddr) {
        if self.sources.len() <= number {
            self.sources.resize(number + 1, None);
        }
        self.sources[number] = Some(address);
    }

    /// The number of a datagram, if it is known.
    pub fn number(&self, identification: Identification) -> Option<u32> {
        match identification {
            Identification::At(number) => Some(number),
            given => self.identifications.get(&given).copied(),
        }
    }

    /// Notes which number the gateway gave to a datagram; `false` if another has it.
    pub fn learn_number(&mut self, identification: Identification, number: u32) -> bool {
        let is_new = !self.identifications.values().any(|other| *other == number);
        self.identifications.insert(identification, number);
        is_new
    }

    pub(super) fn resolve(&self, end: End) -> Option<SocketAddr> {
        match end {
            End::At(address) => Some(address),
            End::Given(number) => self.of(number),
        }
    }
}
