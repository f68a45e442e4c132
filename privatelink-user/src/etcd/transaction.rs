//! Writes that are made together, if what they expect holds.

use std::mem;

use bytes::Bytes;

use super::{
    Revision,
    entry::Entry,
    wire::{
        Compare, Compared, DeleteRangeRequest, PutRequest, RangeRequest, Request, RequestOp,
        Response, TxnRequest, TxnResponse,
    },
};

/// What a transaction expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// There is no such key.
    Absent(String),
    /// It was last written then.
    Unchanged(String, Revision),
}

impl Guard {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }
}

/// What a transaction does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Gives it a value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// The lease that it ends with; 0 is none.
        lease: i64,
    },
    /// Removes it.
    Delete {
        /// The key.
        key: String,
    },
}

/// Writes that are all made if all guards hold, or none of which is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What is expected.
    pub guards: Vec<Guard>,
    /// What is done.
    pub writes: Vec<Write>,
}

/// What has become of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was made, at this revision.
    Made(Revision),
    /// A guard does not hold. These are the keys of guards as they are; those that are absent are
    /// left out.
    Refused(Vec<Entry>),
}

impl From<Transaction> for TxnRequest {
    fn from(transaction: Transaction) -> Self {
        let Transaction { guards, writes } = transaction;
        Self {
            // If a guard does not hold, the answer says how its key is.
            failure: guards.iter().map(|guard| look(guard.key())).collect(),
            compare: guards.into_iter().map(Compare::from).collect(),
            success: writes.into_iter().map(RequestOp::from).collect(),
        }
    }
}

impl From<TxnResponse> for Committed {
    fn from(answer: TxnResponse) -> Self {
        if answer.succeeded {
            return Self::Made(answer.header.map_or(0, |header| header.revision));
        }
        let found = answer.responses.into_iter().filter_map(|response| response.response);
        let found = found.flat_map(|Response::Range(range)| range.kvs).map(Entry::from);
        Self::Refused(found.collect())
    }
}

fn look(key: &str) -> RequestOp {
    let key = Bytes::copy_from_slice(key.as_bytes());
    operation(Request::Range(RangeRequest { key, ..RangeRequest::default() }))
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

impl From<Guard> for Compare {
    fn from(mut guard: Guard) -> Self {
        let (target, key, compared) = match &mut guard {
            Guard::Absent(key) => (Self::CREATE, key, Compared::CreateRevision(0)),
            Guard::Unchanged(key, at) => (Self::MOD, key, Compared::ModRevision(*at)),
        };
        Self { target, key: mem::take(key).into(), compared: Some(compared) }
    }
}

impl From<Write> for RequestOp {
    fn from(write: Write) -> Self {
        operation(match write {
            Write::Put { key, value, lease } => {
                Request::Put(PutRequest { key: key.into(), value, lease })
            }
            Write::Delete { key } => Request::Delete(DeleteRangeRequest { key: key.into() }),
        })
    }
}
