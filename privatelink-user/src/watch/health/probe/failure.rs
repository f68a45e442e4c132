//! Why a target does not pass its check.

use std::{error::Error, io, time::Duration};

use crate::{chain::Chain, model::StatusCodes};

/// Why a target did not pass.
#[derive(Debug, thiserror::Error)]
pub(in crate::watch::health) enum Failure {
    #[error("connection refused")]
    Refused,
    #[error("connection reset")]
    Reset,
    #[error("no route to host: no neighbour answers for its address")]
    HostUnreachable,
    #[error("network unreachable: the gateway has no route to it on {0}")]
    NetworkUnreachable(String),
    #[error("timed out after {} while {}", humantime::format_duration(*.after), .stage)]
    TimedOut { after: Duration, stage: &'static str },
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("HTTP {code}, expected {expected}")]
    Status { code: u16, expected: StatusCodes },
    #[error("no answer in {protocol}: {cause}")]
    Protocol { protocol: &'static str, cause: String },
    #[error("gRPC health is {0}")]
    NotServing(&'static str),
    #[error("gRPC status {code}{}", grpc_meaning(*.code))]
    Grpc { code: u32 },
}

impl Failure {
    /// Whether loss of packets cannot be the cause: the target answers, or nothing at its address
    /// does.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::TimedOut { .. } | Self::Connect(_))
    }

    /// An answer that is not in this protocol. The error's causes are included: the outermost one
    /// often only says that there was an error.
    pub fn protocol(protocol: &'static str, error: &dyn Error) -> Self {
        Self::Protocol { protocol, cause: Chain(error).to_string() }
    }
}

/// What a gRPC status code means for a health check.
fn grpc_meaning(code: u32) -> &'static str {
    match code {
        5 => ": the target does not know that service",
        12 => ": the target has no gRPC health service",
        14 => ": unavailable",
        16 => ": the target requires authentication",
        _ => "",
    }
}
