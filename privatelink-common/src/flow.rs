//! The flow table: one 64-byte slot, one cache line, per flow and direction.
//!
//! Both slots of a flow hold the same tuple; the direction bit says which side of it a packet is
//! compared with. Only the client's address is stored: the endpoint's, the target's and the
//! source address are looked up by index, which is what lets an IPv6 flow fit into the line and
//! what makes a change of a record take effect on the next packet.

mod phase;
pub mod word;

use crate::{
    Addr, Mac,
    cell::{Word16, Word32, Word64},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use phase::Phase;

/// Slots of a region: probing never leaves it, and one lock guards its insertions and removals.
pub const REGION_SLOTS: u32 = 256;
/// Probes before a region counts as full for a tuple.
pub const MAX_PROBES: u32 = 128;
/// Flows at which a region takes no more.
pub const REGION_LIMIT: u32 = 224;
/// The first regions, 8 MB of slots: every flow is entered there while there is room, so that a
/// few thousand flows stay within the processor's caches however large the table is.
pub const NEAR_REGIONS: u32 = 512;
/// Flows at which a near region sends further ones to the far regions.
pub const NEAR_LIMIT: u32 = 144;
/// How long a freed slot rests, in ticks: a CPU that found it while it lived may still read it.
pub const REST_TICKS: u32 = crate::tick::ticks_from_millis(1_000);

/// One direction of a flow as plain data: what user space reads and the slow path writes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Flow {
    /// Bits of [`word`].
    pub word: u32,
    /// Tick of the last packet; of the removal, in a freed slot.
    pub last_seen: u32,
    /// The client's address.
    pub client: Addr,
    /// Client's port and listener's port: the bytes from the client, as the machine loads them.
    pub consumer_ports: u32,
    /// Target's port and source port: the bytes from the target, as the machine loads them.
    pub provider_ports: u32,
    /// Index of the endpoint.
    pub endpoint: u16,
    /// Index of the target.
    pub target: u16,
    /// Tick of the first packet.
    pub opened: u32,
    /// What the IPv4 header checksum gains in this direction, the TTL's step included.
    pub l3_delta: u16,
    /// What the transport checksum gains in this direction.
    pub l4_delta: u16,
    /// Index of the source address.
    pub source: u16,
    /// Where the client's packets come from, and its replies go.
    pub client_mac: Mac,
    /// Packets forwarded in this direction, modulo 2^32.
    pub packets: u32,
    /// IP bytes forwarded in this direction.
    pub bytes: u64,
}

impl Flow {
    /// The client's port and the listener's.
    pub fn consumer_port_pair(&self) -> [u16; 2] {
        port_pair(self.consumer_ports)
    }

    /// The target's port and the source port.
    pub fn provider_port_pair(&self) -> [u16; 2] {
        port_pair(self.provider_ports)
    }

    /// Index of the endpoint.
    pub const fn endpoint(&self) -> u32 {
        self.endpoint as u32
    }

    /// Index of the target.
    pub const fn target(&self) -> u32 {
        self.target as u32
    }

    /// TCP's flags that were seen in this direction, as far as they matter: FIN, SYN, RST, and
    /// ACK with a SYN.
    pub const fn tcp_flags(&self) -> u8 {
        (self.word >> word::FLAGS_SHIFT) as u8
    }

    /// The IP protocol number.
    pub const fn protocol(&self) -> u8 {
        (self.word >> word::PROTOCOL_SHIFT) as u8
    }

    /// Whether this is the target-to-client direction.
    pub const fn is_reverse(&self) -> bool {
        self.word & word::REVERSE != 0
    }

    /// Whether the slot is in use.
    pub const fn is_live(&self) -> bool {
        self.word & word::LIFE == word::LIVE
    }
}

/// What a new slot is filled with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Time of entry, in ticks.
    pub now: u32,
    /// The client's address in machine words.
    pub client: [u32; 4],
    /// Client's port and listener's port.
    pub consumer_ports: u32,
    /// Target's port and source port.
    pub provider_ports: u32,
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Index of the target.
    pub target: u32,
    /// Index of the source address.
    pub source: u32,
    /// The last four bytes of the client's Ethernet address.
    pub client_mac_low: u32,
    /// Its first two bytes.
    pub client_mac_high: u16,
    /// What the IPv4 header checksum gains.
    pub l3_delta: u16,
    /// What the transport checksum gains.
    pub l4_delta: u16,
    /// Padding, zero.
    pub reserved: u16,
}

/// A slot as the CPUs share it. Every access is a plain load or store of a machine word; what
/// must not be torn is written while the slot is `BUSY`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    word: Word32,
    last_seen: Word32,
    client: [Word32; 4],
    consumer_ports: Word32,
    provider_ports: Word32,
    endpoint: Word16,
    target: Word16,
    opened: Word32,
    l3_delta: Word16,
    l4_delta: Word16,
    source: Word16,
    mac_high: Word16,
    mac_low: Word32,
    packets: Word32,
    bytes: Word64,
}

macro_rules! loads {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty;)+) => {$(
        $(#[doc = $doc])+
        #[inline(always)]
        pub fn $name(&self) -> $ty {
            self.$name.load()
        }
    )+};
}

impl Slot {
    loads! {
        /// Bits of [`word`].
        word: u32;
        /// Tick of the last packet; of the removal, in a freed slot.
        last_seen: u32;
        /// Client's port and listener's port, as on the wire from the client.
        consumer_ports: u32;
        /// Target's port and source port, as on the wire from the target.
        provider_ports: u32;
        /// Tick of the first packet.
        opened: u32;
        /// What the IPv4 header checksum gains.
        l3_delta: u16;
        /// What the transport checksum gains.
        l4_delta: u16;
        /// Index of the source address.
        source: u16;
    }

    /// Index of the endpoint.
    #[inline(always)]
    pub fn endpoint(&self) -> u32 {
        u32::from(self.endpoint.load())
    }

    /// Index of the target.
    #[inline(always)]
    pub fn target(&self) -> u32 {
        u32::from(self.target.load())
    }

    /// The cell that says whose the slot is.
    #[inline(always)]
    pub fn word_cell(&self) -> &Word32 {
        &self.word
    }

    /// The client's address in native words of its bytes.
    #[inline(always)]
    pub fn client(&self) -> [u32; 4] {
        [self.client[0].load(), self.client[1].load(), self.client[2].load(), self.client[3].load()]
    }

    /// The last four bytes of the client's address: the whole of it for IPv4.
    #[inline(always)]
    pub fn client_last4(&self) -> u32 {
        self.client[3].load()
    }

    /// The client's Ethernet address: two bytes, then four.
    #[inline(always)]
    pub fn client_mac(&self) -> (u16, u32) {
        (self.mac_high.load(), self.mac_low.load())
    }

    /// Follows a client to another Ethernet address.
    #[inline(always)]
    pub fn set_client_mac(&self, high: u16, low: u32) {
        self.mac_high.store(high);
        self.mac_low.store(low);
    }

    /// Notes the time of a packet; writes only when it has moved.
    #[inline(always)]
    pub fn seen(&self, now: u32) {
        if self.last_seen.load() != now {
            self.last_seen.store(now);
        }
    }

    /// Counts packets of `bytes` bytes together. Not atomic: one direction of a flow is on one CPU.
    #[inline(always)]
    pub fn count(&self, packets: u32, bytes: u32) {
        self.packets.store(self.packets.load().wrapping_add(packets));
        self.bytes.store(self.bytes.load().wrapping_add(u64::from(bytes)));
    }

    /// Bytes and packets so far.
    #[inline(always)]
    pub fn counted(&self) -> (u64, u32) {
        (self.bytes.load(), self.packets.load())
    }

    /// Writes everything but the word; the slot is `BUSY` meanwhile.
    #[inline(always)]
    pub fn fill(&self, content: &Content) {
        let [a, b, c, d] = content.client;
        self.last_seen.store(content.now);
        self.client[0].store(a);
        self.client[1].store(b);
        self.client[2].store(c);
        self.client[3].store(d);
        self.consumer_ports.store(content.consumer_ports);
        self.provider_ports.store(content.provider_ports);
        self.endpoint.store(content.endpoint as u16);
        self.target.store(content.target as u16);
        self.opened.store(content.now);
        self.l3_delta.store(content.l3_delta);
        self.l4_delta.store(content.l4_delta);
        self.source.store(content.source as u16);
        self.set_client_mac(content.client_mac_high, content.client_mac_low);
        self.packets.store(0);
        self.bytes.store(0);
    }

    /// Puts what a flow had in another table and [`fill`](Self::fill) does not know.
    #[inline(always)]
    pub fn restore(&self, flow: &Flow) {
        self.last_seen.store(flow.last_seen);
        self.packets.store(flow.packets);
        self.bytes.store(flow.bytes);
    }

    /// Whether this slot and another say the same of their flow, whichever direction each is of.
    #[inline(always)]
    pub fn is_of_flow(&self, other: &Self) -> bool {
        self.provider_ports() == other.provider_ports()
            && self.consumer_ports() == other.consumer_ports()
            && self.endpoint() == other.endpoint()
            && self.target() == other.target()
            && self.source() == other.source()
            && self.client() == other.client()
    }

    /// A copy as plain data.
    #[inline(always)]
    pub fn load(&self) -> Flow {
        let c = self.client();
        let (high, low) = self.client_mac();
        Flow {
            word: self.word(),
            last_seen: self.last_seen(),
            client: Addr::from_words(c),
            consumer_ports: self.consumer_ports(),
            provider_ports: self.provider_ports(),
            endpoint: self.endpoint.load(),
            target: self.target.load(),
            opened: self.opened(),
            l3_delta: self.l3_delta(),
            l4_delta: self.l4_delta(),
            source: self.source(),
            client_mac: join_mac(high, low),
            packets: self.packets.load(),
            bytes: self.bytes.load(),
        }
    }
}

fn port_pair(ports: u32) -> [u16; 2] {
    let [a, b, c, d] = ports.to_ne_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// A MAC address in two machine words.
#[inline(always)]
pub const fn split_mac(m: Mac) -> (u16, u32) {
    (u16::from_ne_bytes([m[0], m[1]]), u32::from_ne_bytes([m[2], m[3], m[4], m[5]]))
}

/// The inverse of [`split_mac`].
#[inline(always)]
pub const fn join_mac(high: u16, low: u32) -> Mac {
    let (h, l) = (high.to_ne_bytes(), low.to_ne_bytes());
    [h[0], h[1], l[0], l[1], l[2], l[3]]
}

/// What guards a part of the table.
#[repr(C)]
#[derive(Debug, Default)]
pub struct RegionCell {
    /// 1 while a CPU inserts or removes here.
    pub lock: Word32,
    /// Slots in use.
    pub live: Word32,
}

/// A [`RegionCell`] as plain data.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Region {
    /// 1 while a CPU inserts or removes here.
    pub lock: u32,
    /// Slots in use.
    pub live: u32,
}

/// Regions for a table of `max_flows` flows: two slots each, half of them free at the limit.
pub const fn regions_for(max_flows: u32) -> u32 {
    let slots = max_flows as u64 * 4;
    let regions = slots.div_ceil(REGION_SLOTS as u64);
    if regions == 0 { 1 } else { regions as u32 }
}

const _: () = {
    assert!(size_of::<Slot>() == 64 && size_of::<Flow>() == 64);
    assert!(size_of::<RegionCell>() == size_of::<Region>());
};
