//! What can go wrong between the client and a member of the cluster.

use std::io;

use super::Revision;

/// The statuses of gRPC that the client tells apart.
pub(super) mod status {
    pub const CANCELLED: u16 = 1;
    pub const UNKNOWN: u16 = 2;
    pub const INVALID_ARGUMENT: u16 = 3;
    pub const DEADLINE_EXCEEDED: u16 = 4;
    pub const PERMISSION_DENIED: u16 = 7;
    pub const INTERNAL: u16 = 13;
    pub const UNAVAILABLE: u16 = 14;
    pub const UNAUTHENTICATED: u16 = 16;
}

/// Why a request has not been answered, or has been refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The member cannot be reached.
    #[error("cannot connect to {member}")]
    Connect {
        /// The member's address.
        member: String,
        /// What the system or TLS said.
        #[source]
        source: io::Error,
    },
    /// The connection ended, or what came over it is not what etcd sends.
    #[error("lost the connection to {member}: {cause}")]
    Lost {
        /// The member's address.
        member: String,
        /// What was wrong.
        cause: String,
    },
    /// The member did not answer in time.
    #[error("{member} has not answered within {milliseconds} ms")]
    Silent {
        /// The member's address.
        member: String,
        /// How long it had.
        milliseconds: u128,
    },
    /// The member refused.
    #[error("{member} refuses: {message} (gRPC status {code})")]
    Status {
        /// The member's address.
        member: String,
        /// The status.
        code: u16,
        /// What it says.
        message: String,
    },
    /// The watch begins at a revision that etcd has forgotten.
    #[error("etcd has forgotten the changes before revision {oldest}")]
    Compacted {
        /// The oldest revision that it still knows.
        oldest: Revision,
    },
    /// etcd has ended the watch.
    #[error("etcd has ended the watch: {0}")]
    Cancelled(String),
}

impl Error {
    /// Whether another member, or the same one a moment later, may answer.
    ///
    /// `false` is an answer of the cluster itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Silent { .. } => true,
            Self::Status { code, message, .. } => match *code {
                status::CANCELLED | status::DEADLINE_EXCEEDED | status::UNAVAILABLE => true,
                // The rights were changed between two steps of the same request.
                status::INVALID_ARGUMENT => message.contains("auth: revision"),
                // "request timed out" and "leader changed" have no status of their own everywhere.
                status::UNKNOWN | status::INTERNAL => message.contains("etcdserver: "),
                _ => false,
            },
            Self::Compacted { .. } | Self::Cancelled(_) => false,
        }
    }

    /// Whether the cluster says that this user may not do that.
    pub fn is_denial(&self) -> bool {
        match self {
            Self::Status { code, message, .. } => {
                [status::PERMISSION_DENIED, status::UNAUTHENTICATED].contains(code)
                    || message.contains("user name is empty")
            }
            Self::Connect { .. }
            | Self::Lost { .. }
            | Self::Silent { .. }
            | Self::Compacted { .. }
            | Self::Cancelled(_) => false,
        }
    }
}
