//! TCP and UDP packets, built by etherparse, and an independent look at frames.

use etherparse::{
    IpHeaders, Ipv4Header, Ipv6Header, NetSlice, PacketBuilder, SlicedPacket, TcpHeader,
    TransportSlice, ip_number,
};
use privatelink_common::Mac;
use std::net::{IpAddr, SocketAddr};

/// TCP's flags (RFC 9293).
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A packet whose bytes follow from its fields: two that differ in a field differ in its bytes
/// and in the checksums, and in nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub from_mac: Mac,
    pub to_mac: Mac,
    pub ttl: u8,
    /// IPv4 identification, or IPv6 flow label.
    pub id: u16,
    pub transport: Transport,
    pub payload: Vec<u8>,
    /// Bytes behind the IP packet.
    pub padding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The flags, and a sequence number.
    Tcp(u8, u32),
    Udp,
    /// UDP without a checksum.
    BareUdp,
}

impl Packet {
    pub fn new(from: SocketAddr, to: SocketAddr, transport: Transport) -> Self {
        let payload = b"payload".to_vec();
        let (from_mac, to_mac) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        Self { from, to, from_mac, to_mac, ttl: 64, id: 0x1234, transport, payload, padding: 0 }
    }

    pub fn macs(self, from_mac: Mac, to_mac: Mac) -> Self {
        Self { from_mac, to_mac, ..self }
    }

    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    pub fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    pub fn flags(self, flags: u8) -> Self {
        Self { transport: Transport::Tcp(flags, 0x0102_0304), ..self }
    }

    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Padded to the least that Ethernet carries.
    pub fn padded(self) -> Self {
        let length = self.bytes().len();
        self.padding(60_usize.saturating_sub(length))
    }

    /// With the payload that makes the transport checksum come out as `wanted`.
    pub fn with_checksum(self, wanted: u16) -> Self {
        let blank = self.payload(&[0, 0]);
        let (_, check) = checksum_of(&blank.bytes());
        let word = fold(u32::from(!wanted) + u32::from(check));
        blank.payload(&word.to_be_bytes())
    }

    /// With the identification that makes the IPv4 header checksum come out as `wanted`.
    pub fn with_header_checksum(self, wanted: u16) -> Self {
        let blank = self.id(0);
        let check = header_checksum_of(&blank.bytes());
        blank.id(fold(u32::from(!wanted) + u32::from(check)))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(self.from_mac, self.to_mac).ip(self.ip());
        let mut bytes = Vec::new();
        let (from, to) = (self.from.port(), self.to.port());
        match self.transport {
            Transport::Tcp(flags, sequence) => builder
                .tcp_header(tcp(from, to, flags, sequence))
                .write(&mut bytes, &self.payload)
                .unwrap(),
            Transport::Udp | Transport::BareUdp => {
                builder.udp(from, to).write(&mut bytes, &self.payload).unwrap();
            }
        }
        if self.transport == Transport::BareUdp {
            let check = transport_at(&bytes) + 6;
            bytes[check..check + 2].fill(0);
        }
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }

    fn ip(&self) -> IpHeaders {
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let protocol = ip_number::UDP; // The builder puts the right one.
                let (from, to) = (from.octets(), to.octets());
                let mut header = Ipv4Header::new(0, self.ttl, protocol, from, to).unwrap();
                header.identification = self.id;
                IpHeaders::Ipv4(header, Default::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => IpHeaders::Ipv6(
                Ipv6Header {
                    flow_label: u32::from(self.id).try_into().unwrap(),
                    hop_limit: self.ttl,
                    source: from.octets(),
                    destination: to.octets(),
                    ..Default::default()
                },
                Default::default(),
            ),
            (from, to) => panic!("{from} and {to} are of two families"),
        }
    }
}

fn tcp(from: u16, to: u16, flags: u8, sequence: u32) -> TcpHeader {
    let set = |flag| flags & flag != 0;
    let mut header = TcpHeader::new(from, to, sequence, 0x2000);
    header.fin = set(FIN);
    header.syn = set(SYN);
    header.rst = set(RST);
    header.psh = set(0x08);
    header.ack = set(ACK);
    header.urg = set(0x20);
    header.ece = set(0x40);
    header.cwr = set(0x80);
    header
}

/// The ones' complement sum of bytes in network order.
pub fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    u32::from(fold(bytes.chunks(2).map(word).sum()))
}

pub fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Where the transport header of a packet without options begins.
pub fn transport_at(frame: &[u8]) -> usize {
    if frame[14] >> 4 == 4 { 34 } else { 54 }
}

pub fn header_checksum_of(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[24], frame[25]])
}

/// Source and destination address of an IP packet, as bytes.
fn addresses(frame: &[u8]) -> &[u8] {
    if frame[14] >> 4 == 4 { &frame[26..34] } else { &frame[22..54] }
}

/// The sum over transport header, payload and pseudo header, which a right checksum makes
/// 0xffff, and the checksum itself. The packet is one that etherparse takes apart.
pub fn checksum_of(frame: &[u8]) -> (u16, u16) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (protocol, segment, check) = match sliced.transport.unwrap() {
        TransportSlice::Tcp(tcp) => (6, tcp.slice().to_vec(), tcp.checksum()),
        TransportSlice::Udp(udp) => {
            (17, udp.slice()[..usize::from(udp.length())].to_vec(), udp.checksum())
        }
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => {
            panic!("neither TCP nor UDP")
        }
    };
    let all = sum(addresses(frame)) + sum(&segment) + protocol + segment.len() as u32;
    (fold(all), check)
}

/// Whether the transport checksum is right, or left out where it may be.
pub fn transport_holds(frame: &[u8]) -> bool {
    let (sum, check) = checksum_of(frame);
    let bare = frame[14] >> 4 == 4 && frame[23] == 17 && check == 0;
    bare || sum == 0xffff && !(check == 0 && is_udp(frame))
}

fn is_udp(frame: &[u8]) -> bool {
    frame[if frame[14] >> 4 == 4 { 23 } else { 20 }] == 17
}

/// What is wrong with a frame that goes out, if anything is.
pub fn fault(frame: &[u8]) -> Option<String> {
    let sliced = match SlicedPacket::from_ethernet(frame) {
        Ok(sliced) => sliced,
        Err(error) => return Some(format!("does not parse: {error}")),
    };
    let held = frame.len() - 14;
    match sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            if header.header_checksum != header.calc_header_checksum()
                && sum(&frame[14..34]) != 0xffff
            {
                return Some("wrong header checksum".into());
            }
            (usize::from(header.total_len) > held).then(|| "longer than the frame".into())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let length = usize::from(ip.header().payload_length()) + 40;
            (length > held).then(|| "longer than the frame".into())
        }
        Some(NetSlice::Arp(_)) => None,
        None => Some("neither IP nor ARP".into()),
    }
}
