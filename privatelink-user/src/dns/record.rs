//! The names of one network, as plain data that the daemon sends to the server.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// The names of a network: the zones that the gateway is authoritative for, and how it treats all
/// other names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedNames {
    /// The interface that leads to the network.
    pub interface: String,
    /// The name of the name server itself.
    pub server: String,
    /// TTL of answers, in seconds.
    pub ttl: u32,
    /// The zones, by apex.
    pub zones: BTreeMap<String, Zone>,
    /// Name servers for all other names; with none, these are refused.
    pub forwarders: Vec<IpAddr>,
    /// Maximum number of answers a second to the clients of one /24 or /64.
    pub rate: u64,
    /// The name server to ask for proofs; with none, every claim counts as proven.
    pub resolver: Option<IpAddr>,
    /// The provider of each private name.
    pub providers: BTreeMap<String, String>,
}

/// A provider's claim to a name, which the name's owner has to confirm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NameClaim {
    /// The name server to ask.
    pub resolver: IpAddr,
    /// The name, without a wildcard.
    pub name: String,
    /// The text that the owner has to publish.
    pub text: String,
}

impl NameClaim {
    /// The name of the TXT record that the owner has to publish.
    pub fn record_name(&self) -> String {
        format!("_privatelink.{}", self.name)
    }
}

impl fmt::Display for NameClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} IN TXT \"{}\"", self.record_name(), self.text)
    }
}

/// The records of a zone. Its SOA and NS records follow from [`ServedNames`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The records, each once and in order.
    pub records: Vec<Record>,
}

/// One record; its name is in lower case and without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// The owner name; its first label may be `*`.
    pub name: String,
    /// Type and data.
    pub data: Data,
}

/// Type and data of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that an address belongs to.
    Ptr(String),
    /// Port and host of a service.
    Srv {
        /// The service's port.
        port: u16,
        /// The service's host name.
        target: String,
    },
    /// Text of at most 255 bytes.
    Txt(String),
}

impl ServedNames {
    /// The claims that must be proven before all zones may be served.
    pub fn claims(&self) -> impl Iterator<Item = NameClaim> {
        let claim = |(name, provider): (&String, &String)| {
            let text = format!("privatelink={provider}");
            Some(NameClaim { resolver: self.resolver?, name: name.clone(), text })
        };
        self.providers.iter().filter_map(claim)
    }

    /// TTL of negative answers, in seconds. Short, because a connection may be accepted at any
    /// moment.
    pub fn negative_ttl(&self) -> u32 {
        self.ttl.min(5)
    }
}

impl Data {
    /// The type's mnemonic.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Ptr(_) => "PTR",
            Self::Srv { .. } => "SRV",
            Self::Txt(_) => "TXT",
        }
    }
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::A(v4),
            IpAddr::V6(v6) => Self::Aaaa(v6),
        }
    }
}

/// The format of zone files.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Ptr(name) => write!(f, "{name}."),
            Self::Srv { port, target } => write!(f, "0 0 {port} {target}."),
            // Names of services contain nothing that needs escaping.
            Self::Txt(text) => write!(f, "\"{text}\""),
        }
    }
}
