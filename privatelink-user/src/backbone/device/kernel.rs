//! The kernel's WireGuard, by generic netlink: see `include/uapi/linux/wireguard.h`.

use std::{
    ffi::CString,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use ipnet::Ipv6Net;

use super::state::{DeviceChange, DeviceState, PeerChange, PeerState};
use crate::{
    backbone::generic_netlink::{
        ACKNOWLEDGE, Attributes, DUMP, GenericNetlink, HEADERS, NESTED, put, unexpected,
    },
    model::PublicKey,
};

/// The name of the family.
const FAMILY: &str = "wireguard";

const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;

/// Attributes of an interface.
const DEVICE_NAME: u16 = 2;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_LISTEN_PORT: u16 = 6;
const DEVICE_PEERS: u16 = 8;

/// Attributes of a peer.
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_FLAGS: u16 = 3;
const PEER_ENDPOINT: u16 = 4;
const PEER_KEEPALIVE: u16 = 5;
const PEER_HANDSHAKE: u16 = 6;
const PEER_RECEIVED: u16 = 7;
const PEER_SENT: u16 = 8;
const PEER_ALLOWED: u16 = 9;
const REMOVE: u32 = 1;
const REPLACE_ALLOWED: u32 = 2;

/// Attributes of a prefix.
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_LENGTH: u16 = 3;

/// Peers that fit into one message: an attribute has no more than 64 KiB.
const AT_ONCE: usize = 100;

/// An interface of the kernel's, in the network namespace of the calling thread.
#[derive(Debug)]
pub(in crate::backbone) struct KernelDevice {
    name: CString,
}

impl KernelDevice {
    /// The interface of this name.
    pub fn new(interface: &str) -> io::Result<Self> {
        Ok(Self { name: CString::new(interface)? })
    }

    /// Reads its state.
    pub fn read(&self) -> io::Result<DeviceState> {
        let netlink = GenericNetlink::open(FAMILY)?;
        let mut body = Vec::new();
        put(&mut body, DEVICE_NAME, self.name.as_bytes_with_nul());
        let messages = netlink.request(GET_DEVICE, DUMP, &body)?;
        let mut state = DeviceState::default();
        for message in messages {
            read_device(&message, &mut state).ok_or_else(unexpected)?;
        }
        Ok(state)
    }

    /// Changes it, in as many messages as it takes.
    pub fn apply(&self, change: &DeviceChange<'_>) -> io::Result<()> {
        let netlink = GenericNetlink::open(FAMILY)?;
        let mut own = Vec::new();
        put(&mut own, DEVICE_NAME, self.name.as_bytes_with_nul());
        if let Some(key) = change.private_key {
            put(&mut own, DEVICE_PRIVATE_KEY, key.bytes());
        }
        if let Some(listen) = change.listen {
            put(&mut own, DEVICE_LISTEN_PORT, &listen.to_ne_bytes());
        }
        netlink.request(SET_DEVICE, ACKNOWLEDGE, &own)?;
        let removed = change.removed.iter().map(removed_peer);
        let changed = change.peers.iter().map(|(key, peer)| changed_peer(key, peer));
        let peers: Vec<Vec<u8>> = removed.chain(changed).collect();
        for some in peers.chunks(AT_ONCE) {
            let mut list = Vec::new();
            for peer in some {
                put(&mut list, NESTED, peer);
            }
            let mut body = Vec::new();
            put(&mut body, DEVICE_NAME, self.name.as_bytes_with_nul());
            put(&mut body, DEVICE_PEERS | NESTED, &list);
            netlink.request(SET_DEVICE, ACKNOWLEDGE, &body)?;
        }
        Ok(())
    }
}

fn removed_peer(key: &PublicKey) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, PEER_PUBLIC_KEY, key.bytes());
    put(&mut body, PEER_FLAGS, &REMOVE.to_ne_bytes());
    body
}

fn changed_peer(key: &PublicKey, peer: &PeerChange) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, PEER_PUBLIC_KEY, key.bytes());
    put(&mut body, PEER_FLAGS, &REPLACE_ALLOWED.to_ne_bytes());
    if let Some(endpoint) = peer.endpoint {
        put(&mut body, PEER_ENDPOINT, &socket_address(endpoint));
    }
    let keepalive = u16::try_from(peer.keepalive.as_secs()).unwrap_or(u16::MAX);
    put(&mut body, PEER_KEEPALIVE, &keepalive.to_ne_bytes());
    let mut allowed = Vec::new();
    for prefix in &peer.allowed {
        let mut one = Vec::new();
        put(&mut one, ALLOWED_FAMILY, &family_of(true).to_ne_bytes());
        put(&mut one, ALLOWED_ADDRESS, &prefix.addr().octets());
        put(&mut one, ALLOWED_LENGTH, &[prefix.prefix_len()]);
        put(&mut allowed, NESTED, &one);
    }
    put(&mut body, PEER_ALLOWED | NESTED, &allowed);
    body
}

/// A prefix of IPv6; one of IPv4, which nothing here gives, is left out.
fn read_prefix(attributes: &[u8]) -> Option<Option<Ipv6Net>> {
    let find = |wanted| Attributes(attributes).find(|(kind, _)| *kind == wanted);
    let (_, address) = find(ALLOWED_ADDRESS)?;
    let (_, length) = find(ALLOWED_LENGTH)?;
    let Some(octets) = address.first_chunk::<16>() else { return Some(None) };
    Some(Some(Ipv6Net::new((*octets).into(), *length.first()?).ok()?))
}

const fn family_of(is_v6: bool) -> u16 {
    if is_v6 { 10 } else { 2 }
}

/// An address as `sockaddr_in` or `sockaddr_in6`.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = family_of(address.is_ipv6()).to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend(v6.flowinfo().to_ne_bytes());
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

fn read_socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let ip: IpAddr = if family == family_of(true) {
        Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).into()
    } else {
        Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into()
    };
    Some(SocketAddr::new(ip, port))
}

/// Adds what one message tells: a long list of peers comes in several.
fn read_device(message: &[u8], state: &mut DeviceState) -> Option<()> {
    for (kind, value) in Attributes(message.get(HEADERS..)?) {
        if kind == DEVICE_LISTEN_PORT {
            state.listen = u16::from_ne_bytes(*value.first_chunk()?);
        } else if kind == DEVICE_PEERS {
            for (_, peer) in Attributes(value) {
                read_peer(peer, state)?;
            }
        }
    }
    Some(())
}

fn read_peer(attributes: &[u8], state: &mut DeviceState) -> Option<()> {
    let find = |wanted| Attributes(attributes).find(|(kind, _)| *kind == wanted);
    let (_, key) = find(PEER_PUBLIC_KEY)?;
    let peer: &mut PeerState = state.peers.entry(PublicKey::new(*key.first_chunk()?)).or_default();
    for (kind, value) in Attributes(attributes) {
        match kind {
            PEER_ENDPOINT => peer.endpoint = read_socket_address(value),
            PEER_HANDSHAKE => {
                let seconds = i64::from_ne_bytes(*value.first_chunk()?);
                let nanoseconds = i64::from_ne_bytes(*value.get(8..)?.first_chunk()?);
                let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
                peer.handshake = (!since.is_zero()).then(|| SystemTime::UNIX_EPOCH + since);
            }
            PEER_KEEPALIVE => {
                let seconds = u16::from_ne_bytes(*value.first_chunk()?);
                peer.keepalive = Duration::from_secs(seconds.into());
            }
            PEER_ALLOWED => {
                for (_, prefix) in Attributes(value) {
                    peer.allowed.extend(read_prefix(prefix)?);
                }
            }
            PEER_RECEIVED => peer.received = u64::from_ne_bytes(*value.first_chunk()?),
            PEER_SENT => peer.sent = u64::from_ne_bytes(*value.first_chunk()?),
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_written_can_be_read() {
        let key = PublicKey::new([7; 32]);
        for endpoint in ["192.0.2.1:51820", "[2001:db8::1]:7"] {
            let endpoint: SocketAddr = endpoint.parse().unwrap();
            let peer = PeerChange {
                endpoint: Some(endpoint),
                keepalive: Duration::from_secs(25),
                allowed: ["fd00::/64".parse().unwrap(), "fd01::1/128".parse().unwrap()].into(),
            };
            let mut state = DeviceState::default();
            read_peer(&changed_peer(&key, &peer), &mut state).unwrap();
            let read = &state.peers[&key];
            assert_eq!((read.endpoint, read.keepalive), (Some(endpoint), peer.keepalive));
            assert_eq!(read.allowed, peer.allowed);
        }
    }

    /// In a network namespace of the test's own; without root or the module there is nothing to ask.
    #[test]
    fn the_kernel_takes_what_is_written_and_tells_it() {
        let outcome = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let added = runtime.block_on(async {
                crate::backbone::links::Side::open().unwrap().add_wireguard("wg-test").await
            });
            if !added.unwrap() {
                return None;
            }
            let device = KernelDevice::new("wg-test").unwrap();
            let directory = tempfile::TempDir::new().unwrap();
            let keys = crate::backbone::keys::Keys::open(directory.path()).unwrap();
            let peer = |number: u8| PeerChange {
                endpoint: Some(SocketAddr::from(([192, 0, 2, number], 51_820))),
                keepalive: Duration::from_secs(25),
                allowed: [
                    Ipv6Net::new([0xfd00, number.into(), 0, 0, 0, 0, 0, 0].into(), 64).unwrap()
                ]
                .into(),
            };
            let key = |number: u8| PublicKey::new([number; 32]);
            // More than fit into one message, of either direction.
            let peers: Vec<_> = (1..=250).map(|number| (key(number), peer(number))).collect();
            let private_key = Some(keys.present());
            let change =
                DeviceChange { private_key, listen: Some(4_711), peers, removed: Vec::new() };
            device.apply(&change).unwrap();
            let state = device.read().unwrap();
            assert_eq!((state.listen, state.peers.len()), (4_711, 250));
            for (key, peer) in &change.peers {
                let told = &state.peers[key];
                assert_eq!((told.endpoint, told.keepalive), (peer.endpoint, peer.keepalive));
                assert_eq!((&told.allowed, told.handshake), (&peer.allowed, None));
            }
            let taken = PeerChange { endpoint: None, ..peer(1) };
            let change = DeviceChange {
                peers: vec![(key(2), taken)],
                removed: vec![key(3)],
                ..DeviceChange::default()
            };
            device.apply(&change).unwrap();
            let state = device.read().unwrap();
            assert_eq!(state.peers.len(), 249);
            assert!(state.peers[&key(1)].allowed.is_empty(), "a prefix is one peer's");
            assert_eq!(state.peers[&key(2)].endpoint, peer(2).endpoint);
            Some(())
        });
        if outcome.join().unwrap().is_none() {
            eprintln!("skipped: this needs root, and a kernel with WireGuard");
        }
    }

    #[test]
    fn prefixes_are_nested_as_the_kernel_has_them() {
        let peer = PeerChange {
            endpoint: None,
            keepalive: Duration::ZERO,
            allowed: ["fd00::/64".parse().unwrap()].into(),
        };
        let body = changed_peer(&PublicKey::new([7; 32]), &peer);
        let (_, allowed) = Attributes(&body).find(|(kind, _)| *kind == PEER_ALLOWED).unwrap();
        let (_, one) = Attributes(allowed).next().unwrap();
        let found: Vec<_> = Attributes(one).map(|(kind, value)| (kind, value.len())).collect();
        assert_eq!(found, [(ALLOWED_FAMILY, 2), (ALLOWED_ADDRESS, 16), (ALLOWED_LENGTH, 1)]);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_no_state() {
        let mut message = vec![0; HEADERS];
        put(&mut message, DEVICE_LISTEN_PORT, &51_820_u16.to_ne_bytes());
        let mut peer = Vec::new();
        put(&mut peer, PEER_PUBLIC_KEY, &[7; 32]);
        put(&mut peer, PEER_HANDSHAKE, &[0; 4]);
        let mut list = Vec::new();
        put(&mut list, 0, &peer);
        let mut state = DeviceState::default();
        read_device(&message, &mut state).unwrap();
        assert_eq!(state.listen, 51_820);
        put(&mut message, DEVICE_PEERS, &list);
        assert_eq!(read_device(&message, &mut state), None);
    }
}
