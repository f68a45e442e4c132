//! The store of a gateway: its own, or the one that it shares.

use super::{group::GroupStore, journal::Journal, store::Store};

/// The store that a configuration asks for.
#[derive(Debug)]
pub enum AnyStore {
    /// A file of this gateway.
    Own(Box<Journal>),
    /// What it shares with a group.
    Group(Box<GroupStore>),
}

impl AnyStore {
    /// The store that gateways share, if this is one.
    pub fn group(&self) -> Option<&GroupStore> {
        match self {
            Self::Own(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    /// As [`AnyStore::group`], to take in what others change.
    pub fn group_mut(&mut self) -> Option<&mut GroupStore> {
        match self {
            Self::Own(_) => None,
            Self::Group(group) => Some(group),
        }
    }

    /// The state as it is kept now.
    pub fn state(&self) -> &super::State {
        self.as_ref().state()
    }
}

impl AsRef<dyn Store> for AnyStore {
    fn as_ref(&self) -> &(dyn Store + 'static) {
        match self {
            Self::Own(journal) => journal.as_ref(),
            Self::Group(group) => group.as_ref(),
        }
    }
}

impl AsMut<dyn Store> for AnyStore {
    fn as_mut(&mut self) -> &mut (dyn Store + 'static) {
        match self {
            Self::Own(journal) => journal.as_mut(),
            Self::Group(group) => group.as_mut(),
        }
    }
}
