//! The protocol between daemon and name server: see [`framing`](crate::framing).

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    record::{NameClaim, ServedNames},
    status::NetworkCounters,
};

/// The reason of a claim that has not been checked yet.
pub const NOT_ASKED: &str = "not asked yet";

/// An address of the gateway on an interface, where the name server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenAddress {
    /// The network whose names are served there.
    pub network: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The IP address.
    pub address: IpAddr,
}

/// A request from the daemon to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Serve these names in a network, instead of the previous ones.
    Serve {
        /// The network.
        network: String,
        /// The names.
        names: ServedNames,
    },
    /// Listen on this address. The frame passes a UDP socket for each worker and one TCP listener.
    Listen {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
        /// Number of sockets.
        sockets: usize,
    },
    /// Stop listening on this address.
    Close {
        /// The address.
        #[serde(rename = "place")]
        at: ListenAddress,
    },
    /// Remove the names of a network.
    Forget {
        /// The network.
        network: String,
    },
    /// Send a [`ServerReport`].
    Report,
    /// Exit.
    Leave,
}

/// The server's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The server's release.
    pub version: String,
    /// Number of workers.
    pub workers: usize,
    /// The addresses that it listens on.
    #[serde(rename = "places")]
    pub listen_addresses: Vec<ListenAddress>,
    /// The networks whose names it has.
    pub networks: Vec<String>,
}

/// The server's response to [`Order::Report`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerReport {
    /// Unproven claims, each with the reason.
    pub unproven: Vec<(NameClaim, String)>,
    /// Counters by network.
    pub networks: BTreeMap<String, NetworkCounters>,
}
