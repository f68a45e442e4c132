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
    #[error("the configuration has {} fault(s):\n\n{}", .0.count(), .0.render(false).trim_end())]
    Config(#[from] Diagnostics),
    /// The configuration asks for more than the maps hold.
    #[error(transparent)]
    TooMuch(#[from] state::TooMuch),
    /// Another daemon has what this one needs.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The state cannot be kept.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The kernel cannot be asked about the host.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The BPF side fails.
    #[error(transparent)]
    Datapath(#[from] bpf::Error),
    /// The maps cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// There is no thread for health checks.
    #[error("cannot start the thread that checks targets")]
    Checks(#[source] io::Error),
    /// The control socket broke.
    #[error("the control socket has failed")]
    ServerEnded,
    /// The kernel's messages stopped.
    #[error("the kernel tells no more about interfaces and neighbours")]
    EventsEnded,
}
