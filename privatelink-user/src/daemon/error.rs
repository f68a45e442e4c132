//! Why a daemon cannot start or go on.

use std::io;

use super::lock::InUse;
use crate::{
    api::server::SocketError,
    config::Diagnostics,
    datapath::{bpf, store::StoreError},
    host, state,
};

/// Why a daemon cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is faulty.
    #[error("the configuration is faulty\n\n{}", .0.render(false).trim_end())]
    Config(Diagnostics),
    /// The configuration asks for more than the maps hold.
    #[error(transparent)]
    TooMuch(#[from] state::TooMuch),
    /// Another daemon holds the socket, the state directory or the pin directory.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The state directory cannot be read or written.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The kernel refuses a request about interfaces, addresses or neighbours.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The BPF programs cannot be loaded, attached or run.
    #[error(transparent)]
    Datapath(#[from] bpf::Error),
    /// The maps cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates of the store that gateways share cannot be used.
    #[error("[store]: {0}")]
    StoreCertificates(String),
    /// The control socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The system has no thread left for health checks.
    #[error("cannot start the health-check thread")]
    Checks(#[source] io::Error),
    /// The task that serves the control socket ended by itself.
    #[error("the server on the control socket ended unexpectedly")]
    ServerEnded,
    /// Nothing more is heard of interfaces and neighbours.
    #[error("the netlink subscription ended")]
    EventsEnded,
}

impl Error {
    /// Whether another gateway was faster, so that all is to be worked out anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::State(state::Error::Conflict))
    }
}

// Not a source: the report would be printed again as the cause of itself.
impl From<Diagnostics> for Error {
    fn from(faults: Diagnostics) -> Self {
        Self::Config(faults)
    }
}
