//! Flows, queries for them, and the clients behind them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A transport conversation through an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// The endpoint that it goes through.
    pub endpoint: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The client, `IP:PORT`.
    pub client: String,
    /// The endpoint's address and the listener's port.
    pub address: String,
    /// The source address and port from which the gateway connects to the target.
    pub source: String,
    /// The target, `IP:PORT`.
    pub target: String,
    /// The phase: `opening`, `answered`, `established`, `half-closed` or `closing`.
    pub state: String,
    /// Packets forwarded in both directions.
    pub packets: u64,
    /// The bytes of these, from the IP header on.
    pub bytes: u64,
    /// Seconds since the last packet.
    pub idle_seconds: u64,
}

/// A query for flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only those through this endpoint.
    pub endpoint: Option<String>,
    /// Only those with this address at either end, on either side of the gateway.
    #[param(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Only those with this port at either end, on either side of the gateway.
    pub port: Option<u16>,
    /// Only those of this protocol: `tcp` or `udp`.
    pub protocol: Option<String>,
    /// Only those in this phase: `opening`, `answered`, `established`, `half-closed` or
    /// `closing`.
    pub state: Option<String>,
    /// No more than this many; the answer's header `privatelink-omitted` counts the others.
    #[param(minimum = 1, maximum = 100_000_000, default = 1_000)]
    pub limit: Option<u32>,
}

impl FlowQuery {
    /// How many flows an answer has unless the query says otherwise.
    pub const DEFAULT_LIMIT: u32 = 1_000;
    /// The most that one answer has: more than there can be.
    pub const MAX_LIMIT: u32 = 100_000_000;
}

/// The client behind a source address and port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whois {
    /// The endpoint that the client used.
    pub endpoint: String,
    /// The consumer's network.
    pub network: String,
    /// The principal that consumes the service.
    pub principal: String,
    /// The client, `IP:PORT`.
    pub client: String,
    /// The service that it reached.
    pub service: String,
    /// The target, `IP:PORT`.
    pub target: String,
    /// The source address and port that the query is about.
    pub source: String,
    /// The provider's network, where that address is.
    pub provider_network: String,
    /// The endpoint's address and the listener's port.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// When the flow began, in RFC 3339.
    pub opened: String,
    /// The time of its last packet, as far as is known, in RFC 3339.
    pub last: String,
    /// Whether the flow is still there.
    pub live: bool,
}

/// A query for the client behind a source address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WhoisQuery {
    /// The source address and port, `IP:PORT`.
    #[param(value_type = String)]
    pub source: SocketAddr,
    /// The provider's network, where several have this source address.
    pub network: Option<String>,
    /// The target, `IP:PORT`: flows to several targets may share a source port.
    #[param(value_type = Option<String>)]
    pub target: Option<SocketAddr>,
    /// At this time, in RFC 3339, from the flow log; without a fraction, in that whole second. If
    /// absent, now.
    pub at: Option<String>,
    /// At any time since this one, in RFC 3339, from the flow log.
    pub since: Option<String>,
}
