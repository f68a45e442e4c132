//! Fragments of packets.

use std::ops::Range;

use super::{Given, Packet};

/// The number that all fragments of a datagram have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identification {
    /// Chosen by the sender.
    At(u32),
    /// Chosen by the gateway, for one of a flow's directions and the sender's number.
    Given(usize, bool, u32),
}

/// Which part of a packet's content a fragment holds.
#[derive(Clone, Debug)]
pub(super) struct Part {
    bytes: Range<usize>,
    pub identification: Identification,
}

impl Packet {
    /// The fragment with these bytes of what follows the IP header.
    pub fn part(mut self, identification: u32, bytes: Range<usize>) -> Self {
        self.part = Some(Part { bytes, identification: Identification::At(identification) });
        self
    }

    /// The fragment as the gateway has numbered it, in a direction of a flow.
    pub fn renumbered(mut self, flow: usize, request: bool) -> Self {
        if let Some(Part { identification, .. }) = &mut self.part
            && let Identification::At(number) = *identification
        {
            *identification = Identification::Given(flow, request, number);
        }
        self
    }

    /// The number of its datagram, if it is a fragment.
    pub fn identification(&self) -> Option<Identification> {
        self.part.as_ref().map(|part| part.identification)
    }

    /// What the frame holds of the content, its place, and the number of the datagram.
    pub(super) fn cut(&self, content: Vec<u8>, given: &Given) -> (Vec<u8>, Place) {
        let Some(Part { bytes, identification }) = &self.part else {
            return (content, self.fragment.map(|(offset, more)| (offset, more, 1)));
        };
        let (end, more) = (bytes.end.min(content.len()), bytes.end < content.len());
        let number = given.number(*identification).unwrap();
        let offset = u16::try_from(bytes.start / 8).unwrap();
        (content[bytes.start..end].to_vec(), Some((offset, more, number)))
    }
}

/// Offset in units of eight bytes, whether more follow, and the datagram's number.
pub(super) type Place = Option<(u16, bool, u32)>;
