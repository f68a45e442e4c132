//! Packets as tests need them: named field by field, with checksums by an independent library.

#![expect(clippy::unwrap_used, reason = "a packet that cannot be built is a mistake of the test")]

mod end;
mod icmp;
mod mutation;
pub mod neighbour;
mod part;

use std::net::IpAddr;

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    TcpHeader, UdpHeader,
};
use privatelink_common::{Mac, TCP, UDP};

pub use end::{End, Given};
pub use mutation::Mutation;
pub use part::Identification;
use part::{Part, Place};

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = Ethernet2Header::LEN;

/// TCP's flags.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Opens a conversation.
    pub const SYN: u8 = 2;
    /// Ends it at once.
    pub const RST: u8 = 4;
    /// Deliver at once.
    pub const PSH: u8 = 8;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 16;
    /// The urgent pointer counts.
    pub const URG: u8 = 32;
    /// Congestion was seen.
    pub const ECE: u8 = 64;
    /// The sender has slowed down.
    pub const CWR: u8 = 128;
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp { flags: u8, sequence: u32, acknowledgment: u32, urgent: u16, options: Vec<u8> },
    Udp { checksum: bool },
    Icmp(icmp::Message),
    Other(u8),
}

/// A TCP, UDP or other packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    sender: Mac,
    receiver: Mac,
    from: End,
    to: End,
    ttl: u8,
    traffic_class: u8,
    label: u32,
    dont_fragment: bool,
    fragment: Option<(u16, bool)>,
    part: Option<Part>,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    transport: Transport,
    payload: Vec<u8>,
    mutations: Vec<Mutation>,
}

impl Packet {
    fn new(from: impl Into<End>, to: impl Into<End>, transport: Transport) -> Self {
        Self {
            sender: [0; 6],
            receiver: [0; 6],
            from: from.into(),
            to: to.into(),
            ttl: 64,
            traffic_class: 0,
            label: 0x1234,
            dont_fragment: true,
            fragment: None,
            part: None,
            options: Vec::new(),
            extensions: Vec::new(),
            transport,
            payload: Vec::new(),
            mutations: Vec::new(),
        }
    }

    /// A TCP packet that acknowledges and carries nothing.
    pub fn tcp(from: impl Into<End>, to: impl Into<End>) -> Self {
        let (sequence, acknowledgment) = (0x0102_0304, 0x0506_0708);
        let transport = Transport::Tcp {
            flags: flags::ACK,
            sequence,
            acknowledgment,
            urgent: 0,
            options: Vec::new(),
        };
        Self::new(from, to, transport)
    }

    /// A UDP packet that carries nothing.
    pub fn udp(from: impl Into<End>, to: impl Into<End>) -> Self {
        Self::new(from, to, Transport::Udp { checksum: true })
    }

    /// A packet of the protocol of this number, TCP and UDP among them.
    pub fn of(protocol: u8, from: impl Into<End>, to: impl Into<End>) -> Self {
        match protocol {
            TCP => Self::tcp(from, to),
            UDP => Self::udp(from, to),
            other => Self::new(from, to, Transport::Other(other)),
        }
    }

    /// The Ethernet addresses.
    pub fn between(mut self, sender: Mac, receiver: Mac) -> Self {
        (self.sender, self.receiver) = (sender, receiver);
        self
    }

    /// TCP's flags.
    pub fn flags(mut self, set: u8) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.transport {
            *flags = set;
        }
        self
    }

    /// TCP's options, a multiple of four bytes.
    pub fn tcp_options(mut self, set: &[u8]) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            *options = set.to_vec();
        }
        self
    }

    /// TCP's urgent pointer.
    pub fn urgent(mut self, set: u16) -> Self {
        if let Transport::Tcp { urgent, .. } = &mut self.transport {
            *urgent = set;
        }
        self
    }

    /// UDP without a checksum.
    pub fn without_checksum(mut self) -> Self {
        if let Transport::Udp { checksum } = &mut self.transport {
            *checksum = false;
        }
        self
    }

    /// What it carries.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Time to live, or hop limit.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Type of service, or traffic class.
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.traffic_class = class;
        self
    }

    /// Identification, or flow label.
    pub fn label(mut self, label: u32) -> Self {
        self.label = label;
        self
    }

    /// IPv4's flag "don't fragment" off.
    pub fn may_fragment(mut self) -> Self {
        self.dont_fragment = false;
        self
    }

    /// A fragment at this offset, in units of eight bytes; `more` follow.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// IPv4's options, a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// One more IPv6 extension header of this number, eight bytes of padding.
    pub fn extension(self, number: u8) -> Self {
        const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
        self.extension_of(number, &PADDING)
    }

    /// One more IPv6 extension header of this number, with what follows its first byte.
    pub fn extension_of(mut self, number: u8, content: &[u8]) -> Self {
        self.extensions.push((number, content.to_vec()));
        self
    }

    /// Something wrong with the frame, done to it when all else is.
    pub fn but(mut self, mutation: Mutation) -> Self {
        self.mutations.push(mutation);
        self
    }

    /// The packet after a hop from `from` to `to`; everything else stays.
    pub fn routed(mut self, from: impl Into<End>, to: impl Into<End>) -> Self {
        (self.from, self.to) = (from.into(), to.into());
        self.ttl -= 1;
        self
    }

    /// The sender.
    pub fn source(&self) -> End {
        self.from
    }

    /// The frame. Ends that the gateway chose must be known.
    pub fn build(&self, given: &Given) -> Vec<u8> {
        let (from, to) = (given.resolve(self.from).unwrap(), given.resolve(self.to).unwrap());
        let packet = &self.with_quote(given);
        let mut frame = match (from.ip(), to.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                packet.ipv4(source.octets(), destination.octets(), [from.port(), to.port()], given)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                packet.ipv6(source.octets(), destination.octets(), [from.port(), to.port()], given)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                unreachable!("{from} and {to} are of two families")
            }
        };
        for mutation in &self.mutations {
            mutation.apply(&mut frame);
        }
        frame
    }

    fn ethernet(&self, kind: EtherType) -> Vec<u8> {
        let header =
            Ethernet2Header { source: self.sender, destination: self.receiver, ether_type: kind };
        header.to_bytes().to_vec()
    }

    fn ipv4(
        &self,
        source: [u8; 4],
        destination: [u8; 4],
        ports: [u16; 2],
        given: &Given,
    ) -> Vec<u8> {
        let check = |segment: &Segment<'_>| match segment {
            Segment::Tcp(tcp) => {
                tcp.calc_checksum_ipv4_raw(source, destination, &self.payload).unwrap()
            }
            Segment::Udp(udp) => {
                udp.calc_checksum_ipv4_raw(source, destination, &self.payload).unwrap()
            }
            Segment::Icmp(message) => message.checksum_v4(&self.payload),
        };
        let (content, place) = self.cut(self.content(ports, check), given);
        let number = IpNumber(self.protocol(icmp::V4));
        let length = u16::try_from(content.len()).unwrap();
        let mut header = Ipv4Header::new(length, self.ttl, number, source, destination).unwrap();
        header.options = self.options.as_slice().try_into().unwrap();
        header.set_payload_len(content.len()).unwrap();
        header.identification = self.label as u16;
        header.dont_fragment = self.dont_fragment;
        if let Some((offset, more, number)) = place {
            header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            (header.more_fragments, header.dont_fragment) = (more, false);
            header.identification = number as u16;
        }
        let mut bytes = header.to_bytes();
        // The type of service is two fields for the library, and its checksum comes last.
        bytes[1] = self.traffic_class;
        let (mut header, _) = Ipv4Header::from_slice(&bytes).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let mut frame = self.ethernet(EtherType::IPV4);
        frame.extend_from_slice(&header.to_bytes());
        frame.extend_from_slice(&content);
        frame
    }

    fn ipv6(
        &self,
        source: [u8; 16],
        destination: [u8; 16],
        ports: [u16; 2],
        given: &Given,
    ) -> Vec<u8> {
        let check = |segment: &Segment<'_>| match segment {
            Segment::Tcp(tcp) => {
                tcp.calc_checksum_ipv6_raw(source, destination, &self.payload).unwrap()
            }
            Segment::Udp(udp) => {
                udp.calc_checksum_ipv6_raw(source, destination, &self.payload).unwrap()
            }
            Segment::Icmp(message) => message.checksum_v6(source, destination, &self.payload),
        };
        let (rest, place) = self.cut(self.content(ports, check), given);
        let (next_header, mut content) = self.extensions(place);
        content.extend(rest);
        let header = Ipv6Header {
            traffic_class: self.traffic_class,
            flow_label: Ipv6FlowLabel::try_new(self.label).unwrap(),
            payload_length: u16::try_from(content.len()).unwrap(),
            next_header: IpNumber(next_header),
            hop_limit: self.ttl,
            source,
            destination,
        };
        let mut frame = self.ethernet(EtherType::IPV6);
        frame.extend_from_slice(&header.to_bytes());
        frame.extend_from_slice(&content);
        frame
    }

    /// The number of the first header behind IPv6's, and those before the transport's.
    fn extensions(&self, place: Place) -> (u8, Vec<u8>) {
        const FRAGMENT: u8 = 44;
        let (mut first, mut headers) = (self.protocol(icmp::V6), Vec::new());
        if let Some((offset, more, number)) = place {
            let place = (offset << 3 | u16::from(more)).to_be_bytes();
            headers = [&[first, 0], place.as_slice(), &number.to_be_bytes()].concat();
            first = FRAGMENT;
        }
        for (number, content) in self.extensions.iter().rev() {
            headers.splice(0..0, [&[first], content.as_slice()].concat());
            first = *number;
        }
        (first, headers)
    }

    fn protocol(&self, icmp: u8) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => TCP,
            Transport::Udp { .. } => UDP,
            Transport::Icmp(_) => icmp,
            Transport::Other(number) => number,
        }
    }

    /// The transport header and what it carries.
    fn content(&self, [from, to]: [u16; 2], check: impl Fn(&Segment<'_>) -> u16) -> Vec<u8> {
        let mut bytes = match &self.transport {
            Transport::Tcp { flags, sequence, acknowledgment, urgent, options } => {
                let mut tcp = TcpHeader::new(from, to, *sequence, 0xfaf0);
                tcp.acknowledgment_number = *acknowledgment;
                tcp.urgent_pointer = *urgent;
                tcp.set_options_raw(options).unwrap();
                let set = |flag| flags & flag != 0;
                (tcp.fin, tcp.syn, tcp.rst) = (set(flags::FIN), set(flags::SYN), set(flags::RST));
                (tcp.psh, tcp.ack, tcp.urg) = (set(flags::PSH), set(flags::ACK), set(flags::URG));
                (tcp.ece, tcp.cwr) = (set(flags::ECE), set(flags::CWR));
                tcp.checksum = check(&Segment::Tcp(&tcp));
                tcp.to_bytes().to_vec()
            }
            Transport::Udp { checksum } => {
                let length = self.payload.len();
                let mut udp = UdpHeader::without_ipv4_checksum(from, to, length).unwrap();
                if *checksum {
                    udp.checksum = check(&Segment::Udp(&udp));
                }
                udp.to_bytes().to_vec()
            }
            Transport::Icmp(message) => message.bytes(check(&Segment::Icmp(message))),
            Transport::Other(_) => Vec::new(),
        };
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A transport header that lacks its checksum.
enum Segment<'a> {
    Tcp(&'a TcpHeader),
    Udp(&'a UdpHeader),
    Icmp(&'a icmp::Message),
}
