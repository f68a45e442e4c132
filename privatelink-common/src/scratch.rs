//! What one stage of the packet path notes for the next.

use crate::cell::Word32;

/// Notes about the packet that a CPU is processing; each CPU has its own.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Scratch {
    /// Index of the network that the packet came from.
    pub network: Word32,
    /// Index of the slot that the packet belongs to.
    pub slot: Word32,
    /// The identification that a fragment goes on with.
    pub identification: Word32,
    /// Where the transport header of the packet begins that an ICMP error quotes.
    pub quoted: Word32,
    /// What is wrong with a packet that would open a flow, a [`Reason`](crate::Reason), or
    /// [`Scratch::NO_FAULT`].
    pub fault: Word32,
    /// Where in the frame the transport header of a packet that goes on begins.
    pub transport: Word32,
    /// Interface that it goes out by.
    pub ifindex: Word32,
    /// Why the packet is refused: a [`Reason`](crate::Reason).
    pub reason: Word32,
    /// Index of the endpoint that it is refused at, or [`Scratch::NO_ENDPOINT`].
    pub endpoint: Word32,
    /// Largest IP packet of its way out, where it is refused as too big.
    pub mtu: Word32,
    /// Type and code of the ICMP error about it.
    pub message: Word32,
    /// The tag that the packet came with, and [`Scratch::TAGGED`]; zero if it came without.
    pub tag: Word32,
    /// The tag that it leaves with, likewise.
    pub leaves: Word32,
    /// How many suspects the sweep has noted; no packet is in hand then.
    pub suspects: Word32,
    /// Which interval of a node of security rules the search is at.
    pub interval: Word32,
    /// Which source address and port the search for free ones is at.
    pub attempt: Word32,
    /// Whether room was made for the flow to be opened: a constant of [`room`].
    pub room: Word32,
    /// Index of the endpoint for which room is made.
    pub sharer: Word32,
    /// Where the search for a flow to be displaced begins, in parts of 2^32 of the table.
    pub place: Word32,
    /// Not zero while a sweep uses the notes of this CPU.
    pub sweeping: Word32,
    /// What a packet that would open a flow says of it.
    pub opening: Opening,
}

/// The flow that a packet would open.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Opening {
    /// The client's address.
    pub client: [Word32; 4],
    /// The endpoint's address.
    pub address: [Word32; 4],
    /// Client's port and listener's port.
    pub ports: Word32,
    /// IP protocol number; zero if the packet opens none.
    pub protocol: Word32,
    /// Bytes of the IP packet.
    pub length: Word32,
}

/// Values of [`Scratch::room`].
pub mod room {
    /// No room was asked for.
    pub const UNASKED: u32 = 0;
    /// A flow was displaced.
    pub const MADE: u32 = 1;
    /// No flow could be displaced.
    pub const NONE: u32 = 2;
}

impl Scratch {
    /// The index of no endpoint.
    pub const NO_ENDPOINT: u32 = u32::MAX;
    /// There is a tag.
    pub const TAGGED: u32 = 1 << 16;
    /// Nothing is wrong.
    pub const NO_FAULT: u32 = u32::MAX;
}
