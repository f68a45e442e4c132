//! Ends of a conversation, some of which the gateway chooses.

use std::net::SocketAddr;

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
pub struct Given(Vec<Option<SocketAddr>>);

impl Given {
    /// What was chosen for a flow, if it is known.
    pub fn of(&self, number: usize) -> Option<SocketAddr> {
        self.0.get(number).copied().flatten()
    }

    /// Notes what was chosen for a flow.
    pub fn learn(&mut self, number: usize, address: SocketAddr) {
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        self.0[number] = Some(address);
    }

    pub(super) fn resolve(&self, end: End) -> Option<SocketAddr> {
        match end {
            End::At(address) => Some(address),
            End::Given(number) => self.of(number),
        }
    }
}
