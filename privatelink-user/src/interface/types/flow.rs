//! Flows, which of them are asked for, and who stands behind them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A transport conversation through an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// The endpoint.
    pub endpoint: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The client, `IP:PORT`.
    pub client: String,
    /// The endpoint's address and the listener's port.
    pub address: String,
    /// From where the gateway speaks to the target.
    pub source: String,
    /// The target.
    pub target: String,
    /// How far the conversation has come.
    pub state: String,
    /// Packets forwarded, both directions together.
    pub packets: u64,
    /// Their IP bytes.
    pub bytes: u64,
    /// Time since the last packet.
    pub idle_seconds: u64,
}

/// Which flows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only those through this endpoint.
    pub endpoint: Option<String>,
    /// Only those with this address at either end, on either side of the gateway.
    #[param(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Only those with this port there.
    pub port: Option<u16>,
    /// Only those of this protocol: `tcp` or `udp`.
    pub protocol: Option<String>,
    /// Only those that have come this far: `opening`, `answered`, `established`, `half-closed` or
    /// `closing`.
    pub state: Option<String>,
    /// No more than this many; the answer's header `privatelink-omitted` counts the others.
    #[param(minimum = 1, maximum = 100_000_000, default = 1_000)]
    pub limit: Option<u32>,
}

impl FlowQuery {
    /// How many flows an answer has unless the question says otherwise.
    pub const DEFAULT_LIMIT: u32 = 1_000;
    /// The most that one answer has: more than there can be.
    pub const MAX_LIMIT: u32 = 100_000_000;
}

/// Who stands behind a source address and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whois {
    /// The endpoint.
    pub endpoint: String,
    /// The consumer's network.
    pub network: String,
    /// The consumer.
    pub principal: String,
    /// The client, `IP:PORT`.
    pub client: String,
    /// The service.
    pub service: String,
    /// The target, `IP:PORT`.
    pub target: String,
    /// The source address and port that was asked about.
    pub source: String,
    /// The provider's network, in which that is.
    pub provider_network: String,
    /// The endpoint's address and the listener's port.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// When the flow began, in RFC 3339.
    pub opened: String,
    /// When its last packet came, as far as is known.
    pub last: String,
    /// Whether the flow is still there.
    pub live: bool,
}

/// About whom is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WhoisQuery {
    /// The source address and port, `IP:PORT`.
    #[param(value_type = String)]
    pub source: SocketAddr,
    /// The provider's network, where several have this source address.
    pub network: Option<String>,
    /// The target that was spoken to, `IP:PORT`: one source port may serve several.
    #[param(value_type = Option<String>)]
    pub target: Option<SocketAddr>,
    /// At this moment, in RFC 3339, by way of the flow log; without it, now.
    pub at: Option<String>,
    /// At any time since this moment.
    pub since: Option<String>,
}
