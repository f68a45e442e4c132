//! The gateway's own settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use super::{DnsName, DnsTtl, FlowLog, Name, Number, Subscriptions};

/// How many flows the gateway has room for.
pub type MaxFlows = Number<1, { 64 << 20 }>;

/// Settings of the host that runs privatelink.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The name of the zone.
    pub name: Name,
    /// The suffix of generated DNS names.
    pub domain: DnsName,
    /// How long answers about names may be remembered.
    pub dns_ttl: DnsTtl,
    /// The name server by which owners of private names confirm who serves them; `None` needs no
    /// proof.
    pub dns_proof: Option<IpAddr>,
    /// Where metrics are served; `None` serves none.
    pub metrics: Option<SocketAddr>,
    /// The capacity of the flow table.
    pub max_flows: MaxFlows,
    /// Where decisions and allocated addresses are kept.
    pub state_dir: PathBuf,
    /// The daemon's control socket.
    pub socket: PathBuf,
    /// The unix group whose members administer the gateway; `None` is the socket's own.
    pub group: Option<String>,
    /// Where maps, programs and links are pinned.
    pub pin_dir: PathBuf,
    /// Records of flows; `None` keeps none.
    pub flow_log: Option<FlowLog>,
    /// Who is told of events.
    pub subscriptions: Subscriptions,
    /// Who is asked for targets' names; empty asks the host's own name servers.
    pub resolvers: Vec<IpAddr>,
}

impl Gateway {
    /// The suffix of generated DNS names unless the configuration names another.
    pub const DEFAULT_DOMAIN: &str = "privatelink.internal";
    /// How long answers may be remembered unless the configuration says otherwise.
    pub const DEFAULT_DNS_TTL: DnsTtl = DnsTtl::constant::<60_000>();
    /// The capacity of the flow table unless the configuration names another.
    pub const DEFAULT_MAX_FLOWS: MaxFlows = MaxFlows::constant::<1_000_000>();
    /// The state directory unless the configuration names another.
    pub const DEFAULT_STATE_DIR: &str = "/var/lib/privatelink";
    /// The control socket unless the configuration names another.
    pub const DEFAULT_SOCKET: &str = "/run/privatelink/privatelink.sock";
    /// The pin directory unless the configuration names another.
    pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/privatelink";
}
