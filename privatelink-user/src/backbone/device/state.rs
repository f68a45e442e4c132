//! What changes at a WireGuard interface, and what it tells of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use ipnet::Ipv6Net;

use crate::{backbone::keys::PrivateKey, model::PublicKey};

/// What changes at an interface; everything else stays.
#[derive(Debug, Default)]
pub(in crate::backbone) struct DeviceChange<'a> {
    /// Its key.
    pub private_key: Option<&'a PrivateKey>,
    /// Its UDP port.
    pub listen: Option<u16>,
    /// Peers that are new or different.
    pub peers: Vec<(PublicKey, PeerChange)>,
    /// Peers that go.
    pub removed: Vec<PublicKey>,
}

/// What changes at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backbone) struct PeerChange {
    /// Where it is from now on; `None` leaves it where it was last heard.
    pub endpoint: Option<SocketAddr>,
    /// How often the link is kept open.
    pub keepalive: Duration,
    /// The addresses that are its, and no other peer's any more.
    pub allowed: BTreeSet<Ipv6Net>,
}

/// What an interface tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backbone) struct DeviceState {
    /// Its UDP port.
    pub listen: u16,
    /// Its peers.
    pub peers: BTreeMap<PublicKey, PeerState>,
}

/// What an interface tells of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backbone) struct PeerState {
    /// Where it is, or was last heard.
    pub endpoint: Option<SocketAddr>,
    /// The last handshake.
    pub handshake: Option<SystemTime>,
    /// How often its link is kept open.
    pub keepalive: Duration,
    /// The addresses that are its.
    pub allowed: BTreeSet<Ipv6Net>,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}
