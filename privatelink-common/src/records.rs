//! What the daemon writes and the datapath reads: endpoints, services, listeners, targets.

use crate::{Addr, Mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which of the gateway's own addresses a packet is for: a network and an address in it.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct LocalKey {
    /// Index of the network.
    pub network: u32,
    /// An address that the gateway answers for in that network.
    pub address: Addr,
}

/// A VLAN of an interface.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct TagKey {
    /// Interface index that the packet came through.
    pub ifindex: u32,
    /// VLAN identifier of the packet's tag.
    pub vlan: u32,
}

/// Index of the network of untagged packets where an interface has none.
pub const TAGGED_ONLY: u32 = u32::MAX - 1;

/// What stands behind one of the gateway's own addresses.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Local {
    /// Number of the [`LocalKind`].
    pub kind: u32,
    /// Index of the endpoint or of the source address.
    pub index: u32,
    /// The address of the interface, which answers for it.
    pub mac: Mac,
    /// Padding, zero.
    pub reserved: u16,
}

/// What an address of the gateway is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// A consumer's way to a service.
    Endpoint = 1,
    /// An address from which the gateway speaks to targets.
    Source = 2,
    /// An address of the gateway's own host.
    Host = 3,
    /// The address of all hosts of a subnet, from which no packet can come.
    Broadcast = 4,
}

impl Local {
    /// Whether the gateway speaks for it: an endpoint's or a source address, not the host's.
    #[inline(always)]
    pub const fn is_served(&self) -> bool {
        self.kind == LocalKind::Endpoint as u32 || self.kind == LocalKind::Source as u32
    }
}

/// A consumer's endpoint: its addresses, its service, whether it is admitted, and the way back
/// to its network.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Endpoint {
    /// The IPv6 address, or zero.
    pub v6: Addr,
    /// The IPv4 address as the machine loads its bytes, or zero.
    pub v4: u32,
    /// An [`Admission`]; zero for an unused index.
    pub admission: u32,
    /// What a packet of a connection that is not `available` gets: a [`Refusal`].
    pub refusal: u32,
    /// Index of the network that its consumers are in.
    pub network: u32,
    /// Index of the service.
    pub service: u32,
    /// Interface of that network.
    pub ifindex: u32,
    /// Largest IP packet that interface carries without a tag; zero if the network is a VLAN.
    pub mtu: u16,
    /// The gateway's own address on that interface. Its last four bytes are a word of the record.
    pub mac: Mac,
    /// Its set of security rules. Without one no client may use the endpoint.
    pub rules: [u32; 2],
    /// Padding, zero.
    pub reserved: u16,
    /// Bits of [`limited`](crate::policy::limited).
    pub limits: u16,
    /// VLAN of that network on the interface; zero is untagged.
    pub vlan: u16,
    /// Largest IP packet that interface carries with that VLAN's tag; zero if it is untagged.
    pub tagged_mtu: u16,
}

/// Whether an endpoint's connection lets packets through.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// No such endpoint.
    Absent = 0,
    /// Accepted: packets pass.
    Available = 1,
    /// It has not been decided yet.
    Pending = 2,
    /// Refused by the provider.
    Rejected = 3,
    /// The grant has run out.
    Expired = 4,
    /// Refused for new flows; those that run may finish.
    Draining = 5,
    /// Accepted, and each packet counts against a limit. Apart from [`Available`](Self::Available),
    /// so that packets of endpoints without limits need no look at those.
    Metered = 6,
}

impl Admission {
    /// Whether packets of flows that run go on, by the number of an admission.
    #[inline(always)]
    pub const fn carries(number: u32) -> bool {
        Self::opens(number) || number == Self::Draining as u32
    }

    /// Whether there may be new flows, by the number of an admission.
    #[inline(always)]
    pub const fn opens(number: u32) -> bool {
        number == Self::Available as u32 || number == Self::Metered as u32
    }
}

/// How a refused packet is answered.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A TCP reset, or an ICMP message.
    Reset = 0,
    /// No answer.
    Drop = 1,
}

/// A range of indices in one of the tables.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Pool {
    /// Index of the first member.
    pub first: u32,
    /// Number of members, which follow each other.
    pub count: u32,
}

/// A service: from which addresses the gateway speaks to its targets.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Service {
    /// Its IPv4 source addresses.
    pub sources_v4: Pool,
    /// Its IPv6 source addresses.
    pub sources_v6: Pool,
}

/// On which port of which service a packet arrives.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct ListenerKey {
    /// Index of the service.
    pub service: u32,
    /// The port, in network order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u16,
}

/// One listener port: where its flows go.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Listener {
    /// Which part of the backend table holds its IPv4 targets.
    pub backends_v4: Pool,
    /// Which part of the backend table holds its IPv6 targets.
    pub backends_v6: Pool,
    /// Port of the target, in network order.
    pub target_port: u16,
    /// [`Listener::STICKY`] or zero.
    pub flags: u16,
    /// How long an established flow may be silent, in ticks.
    pub idle_ticks: u32,
}

impl Listener {
    /// The flag of listeners whose flows of one client all go to the same target.
    pub const STICKY: u16 = 1;
}

/// A backend address and the way to it.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Target {
    /// Address that flows are sent to.
    pub address: Addr,
    /// A [`TargetState`]; zero for an unused index.
    pub state: u32,
    /// Index of the provider's network.
    pub network: u32,
    /// Interface of that network.
    pub ifindex: u32,
    /// Largest IP packet that interface carries without a tag; zero if the network is a VLAN.
    pub mtu: u16,
    /// Ethernet address of the next hop; all zero while it is not known. Its last four bytes are a
    /// word of the record, as are those of `mac`.
    pub hop: Mac,
    /// VLAN of that network on the interface; zero is untagged.
    pub vlan: u16,
    /// The gateway's own address on that interface.
    pub mac: Mac,
    /// Largest IP packet that interface carries with that VLAN's tag; zero if it is untagged.
    pub tagged_mtu: u16,
    /// Port that flows are sent to, in network order; zero is the listener's `target_port`.
    pub port: u16,
    /// Padding, zero.
    pub reserved_end: [u32; 4],
}

/// Tells the largest IP packet that goes out to a record's network, tagged or not.
macro_rules! largest {
    ($($name:ident),+) => {$(
        impl $name {
            /// Largest IP packet that goes out to its network.
            #[inline(always)]
            pub const fn largest(&self) -> u32 {
                (self.mtu | self.tagged_mtu) as u32
            }
        }
    )+};
}

largest!(Endpoint, Target);

/// Whether a target takes packets.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// No such target.
    Absent = 0,
    /// Flows to it go on.
    Present = 1,
    /// It is no longer there; flows to it are about to end.
    Gone = 2,
}

/// An address in the provider's network from which the gateway speaks to targets.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Source {
    /// Address that targets see as the client.
    pub address: Addr,
    /// 1 if it is no longer used, and flows from it are about to end.
    pub gone: u32,
    /// Which blocks of ports are its: those of this table, modulo
    /// [`BLOCK_TABLES`](crate::share::BLOCK_TABLES). It never changes while flows have the address,
    /// and is the same for all indices of one address.
    pub blocks: u32,
}

impl Source {
    /// A source address that is in use, of the provider's network with this number.
    pub const fn at(address: Addr, network: u32) -> Self {
        let [.., c, d] = address.0;
        // Neighbours, which a service has most often, never have the same.
        let place = u16::from_be_bytes([c, d]) as u32;
        Self { address, gone: 0, blocks: network.wrapping_add(place) }
    }
}

const _: () = {
    assert!(size_of::<Endpoint>() == 64);
    assert!(size_of::<Target>() == 64);
    assert!(size_of::<Local>() == 16);
    // Two bytes and a word each, for the packet path.
    assert!(core::mem::offset_of!(Endpoint, mac) % 4 == 2);
    assert!(core::mem::offset_of!(Target, hop) % 4 == 2);
    assert!(core::mem::offset_of!(Target, mac) % 4 == 2);
    assert!(size_of::<Listener>() == 24);
};
