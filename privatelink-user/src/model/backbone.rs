//! The backbone: other sites, and the encrypted links to them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::{IpNet, Ipv6Net};
use ring::digest::{Context, SHA256};

use super::{
    endpoint::AddressPair,
    invalid::Invalid,
    name::{Interface, Name},
    number::Period,
    port::{Port, PortRange, Protocol},
    service::{Listener, Service},
    word::words,
};

/// How often a link is kept open while nothing else is sent.
pub type Keepalive = Period<1_000, 3_600_000>;

words! {
    /// Which implementation of WireGuard encrypts.
    pub enum WireGuard {
        /// The kernel's where there is one, else the one in user space.
        Auto = "auto",
        /// The kernel's.
        Kernel = "kernel",
        /// `wireguard-go`.
        Userspace = "userspace",
    }
}

/// This host's part of the backbone.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backbone {
    /// The name by which other sites know this one.
    pub site: Name,
    /// The UDP port of encrypted packets.
    pub listen: Port,
    /// The network namespace that holds the decrypted side.
    pub namespace: Namespace,
    /// Which implementation encrypts.
    pub wireguard: WireGuard,
    /// The other sites.
    pub sites: BTreeMap<Name, Site>,
}

/// Another site, which is a network of this gateway, too.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name, which is also that of its network here.
    pub name: Name,
    /// Its public keys: the present one, and perhaps the next; never empty.
    pub public_keys: Vec<PublicKey>,
    /// Where it is reached; `None` waits until it dials.
    pub address: Option<SocketAddr>,
    /// How often the link is kept open.
    pub keepalive: Option<Keepalive>,
    /// Its services that endpoints here may use, by their names there.
    pub services: Vec<Name>,
}

impl Backbone {
    /// Default of `listen`.
    pub const DEFAULT_LISTEN: u16 = 51_820;
    /// Default of `namespace`.
    pub const DEFAULT_NAMESPACE: &str = "pl-transport";

    /// The site that a network leads to.
    pub fn site_of(&self, network: &Name) -> Option<&Site> {
        self.sites.get(network)
    }
}

impl Site {
    /// Default of `keepalive` for a site with an address.
    pub const DEFAULT_KEEPALIVE: Keepalive = Keepalive::constant::<25_000>();
    /// The present key, and the next one.
    pub const MOST_KEYS: usize = 2;

    /// The interface of its network: `site-` and its name, or a digest where that is too long.
    pub fn interface(name: &Name) -> Result<Interface, Invalid> {
        let text = format!("site-{name}");
        text.parse().or_else(|_| format!("site-{}", hexadecimal(&digest(&[name.as_str()]))).parse())
    }
}

/// The name of a network namespace below `/run/netns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let edge = |c: char| c.is_ascii_alphanumeric();
        let valid = (1..=64).contains(&text.len())
            && text.starts_with(edge)
            && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'));
        if valid { Ok(Self(text.into())) } else { Err(Invalid::Namespace(text.into())) }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key of WireGuard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; Self::LENGTH]);

impl PublicKey {
    /// The number of bytes.
    pub const LENGTH: usize = 32;

    /// The key with these bytes.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        // The key of zeros belongs to no private key: handshakes with it never succeed.
        let bytes = bytes.filter(|bytes| *bytes != [0; Self::LENGTH]);
        bytes.map(Self).ok_or_else(|| Invalid::PublicKey(text.chars().take(48).collect()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The addresses by which two sites reach each other inside their link.
///
/// Both compute them from the names alone, so nothing is to be given out. All are unique local
/// addresses of IPv6: 56 bits of a digest keep the prefixes of different pairs apart.
#[derive(Debug, Clone, Copy)]
pub struct Transit<'a> {
    /// The site whose addresses these are.
    pub of: &'a Name,
    /// The site that speaks to them.
    pub toward: &'a Name,
}

/// The router of every link, as seen from a gateway: its own transport namespace.
pub const TRANSIT_ROUTER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

impl Transit<'_> {
    /// The prefix of all of them.
    pub fn prefix(self) -> Ipv6Net {
        let Self { of, toward } = self;
        let digest = digest(&["transit", of.as_str(), toward.as_str()]);
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&digest);
        octets[0] = 0xfd;
        // A /64 is within the bounds of a prefix.
        Ipv6Net::new_assert(octets.into(), 64)
    }

    /// Where a service of `of` is for the endpoints of `toward`.
    pub fn service(self, service: &Name) -> Ipv6Addr {
        let mut octets = self.prefix().addr().octets();
        octets[8..].copy_from_slice(&digest(&["service", service.as_str()]));
        // Sources have this bit clear.
        octets[8] |= 0x80;
        octets.into()
    }

    /// From where `of` speaks to services of `toward`.
    pub fn sources(self) -> Vec<IpAddr> {
        let mut octets = self.prefix().addr().octets();
        let hosts = 0x10..0x10 + SOURCES;
        hosts
            .map(|host| {
                octets[15] = host;
                Ipv6Addr::from(octets).into()
            })
            .collect()
    }

    /// The prefix as one of either family.
    pub fn net(self) -> IpNet {
        self.prefix().into()
    }

    /// [`service`](Self::service), as an endpoint has addresses.
    pub fn endpoint(self, service: &Name) -> AddressPair {
        AddressPair::V6(self.service(service))
    }
}

/// Each carries about 60,000 flows to a port of a service.
const SOURCES: u8 = 8;

/// Where a site with this key is asked what it offers.
///
/// It depends on nothing that is written: sites that write different names find out this way.
pub fn report_address(key: &PublicKey) -> Ipv6Addr {
    let text = key.to_string();
    let (first, second) = (digest(&["report", &text]), digest(&["reports", &text]));
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&first);
    octets[8..].copy_from_slice(&second);
    octets[0] = 0xfd;
    octets.into()
}

/// A short name for something that is different for each `text`.
pub fn tag(text: &str) -> String {
    hexadecimal(digest(&["tag", text]).get(..4).unwrap_or_default())
}

/// The ports of a service as the other site writes them, such as `tcp/443`.
pub fn offered_ports(service: &Service) -> Vec<String> {
    let one = |listener: &Listener| ports(listener.protocol, listener.ports);
    let mut all: Vec<String> = service.listeners.iter().map(one).collect();
    all.sort();
    all
}

fn ports(protocol: Protocol, ports: PortRange) -> String {
    format!("{protocol}/{ports}")
}

/// The first bytes of a digest of words, none of which can be mistaken for another's end.
fn digest(words: &[&str]) -> [u8; 8] {
    let mut context = Context::new(&SHA256);
    context.update(b"privatelink backbone");
    for word in words {
        context.update(&[0]);
        context.update(word.as_bytes());
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn both_sites_compute_the_same_addresses() {
        let (a, b) = (name("site-a"), name("site-b"));
        let here = Transit { of: &b, toward: &a };
        // Other releases, and other sites, rely on these: as computed by another program.
        assert_eq!(here.prefix().to_string(), "fd64:6768:5f63:802a::/64");
        assert_eq!(here.service(&name("payments")).octets()[8] & 0x80, 0x80);
        let back = Transit { of: &a, toward: &b };
        assert_ne!(here.prefix(), back.prefix());
        assert!(back.sources().iter().all(|source| back.net().contains(source)));
        assert_ne!(here.service(&name("payments")), here.service(&name("mail")));
    }

    #[test]
    fn names_that_end_differently_are_no_one_digest() {
        let pairs = [("a", "bc"), ("ab", "c")]
            .map(|(of, toward)| Transit { of: &name(of), toward: &name(toward) }.prefix());
        assert_ne!(pairs[0], pairs[1]);
    }

    #[test]
    fn a_public_key_has_32_bytes_of_base64() {
        let text = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        let zeros = STANDARD.encode([0; 32]);
        for bad in ["", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D", &zeros, &text[..40]] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_interface_of_a_long_name_is_another_for_each() {
        assert_eq!(Site::interface(&name("site-b")).unwrap().as_str(), "site-site-b");
        let long = ["frankfurt-datacentre-1", "frankfurt-datacentre-2"];
        let [one, two] = long.map(|text| Site::interface(&name(text)).unwrap());
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("site-"));
    }

    #[test]
    fn a_namespace_is_a_file_name() {
        assert!("pl-transport".parse::<Namespace>().is_ok());
        for bad in ["", ".", "..", "../x", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }
}
