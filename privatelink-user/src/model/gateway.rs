//! The gateway's own settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use super::{
    dns::DnsTtl,
    flow_log::FlowLog,
    name::{DnsName, Name},
    number::Number,
    store::SharedStore,
    webhook::Subscriptions,
    word::words,
};

/// The capacity of the flow table, in flows.
pub type MaxFlows = Number<1, { 64 << 20 }>;

words! {
    /// The least important messages that are logged.
    pub enum LogLevel {
        /// What does not work.
        Error = "error",
        /// Also what soon may not.
        Warn = "warn",
        /// Also what changes.
        Info = "info",
        /// Also what helps to find faults.
        Debug = "debug",
    }
}

/// HTTPS for callers on other hosts.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// Certificates of the authority whose client certificates act for administrators.
    pub client_ca: Option<PathBuf>,
}

/// Settings of the host that runs privatelink.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The name of the zone.
    pub name: Name,
    /// The suffix of generated DNS names.
    pub domain: DnsName,
    /// How long clients may cache answers about names.
    pub dns_ttl: DnsTtl,
    /// The name server that is asked whether owners of private names agree to their use; `None`
    /// asks no one.
    pub dns_proof: Option<IpAddr>,
    /// Where metrics are served; `None` serves none.
    pub metrics: Option<SocketAddr>,
    /// A file with the token with which scrapes see the series of tenants; `None` shows totals.
    pub metrics_token_file: Option<PathBuf>,
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
    /// The least important messages that are logged.
    pub log_level: LogLevel,
    /// HTTPS for callers on other hosts; `None` serves none.
    pub api: Option<Api>,
    /// The store that it shares with other gateways; `None` is the directory for state alone.
    pub store: Option<SharedStore>,
    /// Records of flows; `None` keeps none.
    pub flow_log: Option<FlowLog>,
    /// The programs and the URL that receive events.
    pub subscriptions: Subscriptions,
    /// Name servers for targets that are names; empty uses those of the host.
    pub resolvers: Vec<IpAddr>,
}

impl Gateway {
    /// Default of `domain`.
    pub const DEFAULT_DOMAIN: &str = "privatelink.internal";
    /// Default of `dns_ttl`.
    pub const DEFAULT_DNS_TTL: DnsTtl = DnsTtl::constant::<60_000>();
    /// Default of `max_flows`.
    pub const DEFAULT_MAX_FLOWS: MaxFlows = MaxFlows::constant::<1_000_000>();
    /// Default of `state_dir`.
    pub const DEFAULT_STATE_DIR: &str = "/var/lib/privatelink";
    /// Default of `socket`.
    pub const DEFAULT_SOCKET: &str = "/run/privatelink/privatelink.sock";
    /// Default of `pin_dir`.
    pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/privatelink";
}
