//! What is served in one network, as plain data: it crosses to the server as it is.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// What a network is served: the zones that the gateway answers for there, and what it does about
/// all other names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedNames {
    /// The interface that leads to the network.
    pub interface: String,
    /// The name of the name server itself.
    pub server: String,
    /// How long answers may be remembered, in seconds.
    pub ttl: u32,
    /// The zones, by apex.
    pub zones: BTreeMap<String, Zone>,
    /// Who is asked for all other names; nobody refuses them.
    pub forwarders: Vec<IpAddr>,
    /// Answers in a second to the clients of one /24 or /64.
    pub rate: u64,
    /// The name server that is asked for proofs; nobody takes every claim for proven.
    pub resolver: Option<IpAddr>,
    /// Whose the zones of private names are.
    pub providers: BTreeMap<String, String>,
}

/// That a provider may serve a name, as its owner has to confirm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NameClaim {
    /// The name server that is asked.
    pub resolver: IpAddr,
    /// The name, without a wildcard.
    pub name: String,
    /// What its owner has to publish.
    pub text: String,
}

impl NameClaim {
    /// Where its owner has to publish it.
    pub fn record_name(&self) -> String {
        format!("_privatelink.{}", self.name)
    }
}

impl fmt::Display for NameClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} IN TXT \"{}\"", self.record_name(), self.text)
    }
}

/// What there is below one name. Its SOA and NS records follow from [`ServedNames`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The records, each once and in order.
    pub records: Vec<Record>,
}

/// One record; its name is in lower case and without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Whose it is; `*` may stand for its first label.
    pub name: String,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name of an address.
    Ptr(String),
    /// Where a service is offered.
    Srv {
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// Text of at most 255 bytes.
    Txt(String),
}

impl ServedNames {
    /// What has to be proven before all of this may be served.
    pub fn claims(&self) -> impl Iterator<Item = NameClaim> {
        let claim = |(name, provider): (&String, &String)| {
            let text = format!("privatelink={provider}");
            Some(NameClaim { resolver: self.resolver?, name: name.clone(), text })
        };
        self.providers.iter().filter_map(claim)
    }

    /// How long the word that there is no such name may be remembered. Short, since acceptance may
    /// come at any moment.
    pub fn negative_ttl(&self) -> u32 {
        self.ttl.min(5)
    }
}

impl Data {
    /// The type, as it is written.
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

/// As zone files have it.
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
