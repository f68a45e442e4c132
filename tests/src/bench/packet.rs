//! The flows that a benchmark cycles through, their packets, and the correct translation of one,
//! computed without the code under test.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use etherparse::{
    NetHeaders, PacketBuilder, PacketBuilderStep, PacketHeaders, TransportHeader, ip_number,
};
use serde::Serialize;

/// How many flows share one client address, as in `wrapper.bpf.c`.
const FLOWS_PER_CLIENT: u32 = 1 << 14;
const FIRST_PORT: u16 = 16384;
/// The number of flows for which there are client addresses.
pub const MAX_FLOWS: u32 = 64 * FLOWS_PER_CLIENT;

/// The client of flow 0.
pub const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The endpoint that every client speaks to.
pub const ENDPOINT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 100), 80);
/// The target behind it.
pub const TARGET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 2, 0, 10), 8080);
/// The first of the 64 source addresses.
pub const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 128);

/// MAC addresses of the four ends of a packet's way.
#[derive(Debug, Clone, Copy)]
pub struct Macs {
    /// The consumer's router or host.
    pub client: [u8; 6],
    /// The gateway's interface in the consumer's network.
    pub consumer_port: [u8; 6],
    /// The gateway's interface in the provider's network.
    pub provider_port: [u8; 6],
    /// The target's host.
    pub target: [u8; 6],
}

/// The transport protocol of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Established TCP: segments with ACK set and nothing else.
    Tcp,
    /// UDP with a checksum.
    Udp,
}

impl Protocol {
    /// The protocol's number in an IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => ip_number::TCP.0,
            Self::Udp => ip_number::UDP.0,
        }
    }
}

/// One flow on both sides of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct FlowTuple {
    /// The client that opened the flow.
    pub client: SocketAddrV4,
    /// The endpoint address that it connects to.
    pub endpoint: SocketAddrV4,
    /// The source address that the target sees, where the program under test lets us choose.
    pub source: SocketAddrV4,
    /// The target.
    pub target: SocketAddrV4,
}

impl FlowTuple {
    /// Makes the flow with this number; the wrapper derives the same client from the number.
    pub fn nth(number: u32) -> Self {
        let host = number / FLOWS_PER_CLIENT;
        let port = FIRST_PORT + (number % FLOWS_PER_CLIENT) as u16;
        Self {
            client: SocketAddrV4::new((u32::from(FIRST_CLIENT) + host).into(), port),
            endpoint: ENDPOINT,
            source: SocketAddrV4::new((u32::from(FIRST_SOURCE) + host).into(), port),
            target: TARGET,
        }
    }
}

/// Which segment of a TCP conversation to build; UDP knows no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// Opens a flow.
    Syn,
    /// Answers it.
    SynAck,
    /// All that follow.
    Ack,
}

/// Builds a frame of `length` bytes from one socket to another, with valid checksums.
///
/// # Errors
///
/// When `length` is too short for the headers.
pub fn frame(
    macs: ([u8; 6], [u8; 6]),
    from: SocketAddrV4,
    to: SocketAddrV4,
    protocol: Protocol,
    segment: Segment,
    length: usize,
) -> Result<Vec<u8>> {
    let ip =
        PacketBuilder::ethernet2(macs.0, macs.1).ipv4(from.ip().octets(), to.ip().octets(), 64);
    let mut frame = Vec::with_capacity(length);
    match protocol {
        Protocol::Udp => write(ip.udp(from.port(), to.port()), length, &mut frame),
        Protocol::Tcp => {
            let tcp = ip.tcp(from.port(), to.port(), 1, 65535);
            let tcp = match segment {
                Segment::Syn => tcp.syn(),
                Segment::SynAck => tcp.syn().ack(2),
                Segment::Ack => tcp.ack(2),
            };
            write(tcp, length, &mut frame)
        }
    }?;
    Ok(frame)
}

/// The two kinds of packet builder have the same methods, and no trait for them.
trait Transport {
    fn headers(&self) -> usize;
    fn write_with(self, frame: &mut Vec<u8>, payload: &[u8]) -> Result<()>;
}

macro_rules! transport {
    ($($header:ty),+) => {$(
        impl Transport for PacketBuilderStep<$header> {
            fn headers(&self) -> usize {
                self.size(0)
            }
            fn write_with(self, frame: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
                self.write(frame, payload).context("building a frame")
            }
        }
    )+};
}
transport!(etherparse::TcpHeader, etherparse::UdpHeader);

fn write(transport: impl Transport, length: usize, frame: &mut Vec<u8>) -> Result<()> {
    let headers = transport.headers();
    let payload = length.checked_sub(headers).with_context(|| {
        format!("a packet of {length} bytes is shorter than its headers ({headers})")
    })?;
    transport.write_with(frame, &vec![0x5a; payload])
}

/// Checks a frame that a NAT program made from `before`: addresses, ports, MACs, TTL, payload, and
/// both checksums computed anew. Returns the source that the target sees.
///
/// # Errors
///
/// When anything differs from a full translation of `flow`.
pub fn check_translation(
    before: &[u8],
    after: &[u8],
    flow: &FlowTuple,
    macs: &Macs,
) -> Result<SocketAddrV4> {
    ensure!(before.len() == after.len(), "length changed from {} to {}", before.len(), after.len());
    let old = PacketHeaders::from_ethernet_slice(before).context("parsing the input")?;
    let new = PacketHeaders::from_ethernet_slice(after).context("parsing the output")?;
    check_macs(after, macs)?;
    let (Some(NetHeaders::Ipv4(old_ip, _)), Some(NetHeaders::Ipv4(ip, _))) = (&old.net, &new.net)
    else {
        bail!("the output is not IPv4");
    };
    ensure!(ip.time_to_live + 1 == old_ip.time_to_live, "TTL is {}", ip.time_to_live);
    let sum = ip.calc_header_checksum();
    ensure!(ip.header_checksum == sum, "IP checksum {:#x}, not {sum:#x}", ip.header_checksum);

    let payload = new.payload.slice();
    ensure!(payload == old.payload.slice(), "the payload changed");
    let (source, target, found, sum) = match &new.transport {
        Some(TransportHeader::Tcp(tcp)) => {
            let sum = tcp.calc_checksum_ipv4(ip, payload).context("summing the segment")?;
            (tcp.source_port, tcp.destination_port, tcp.checksum, sum)
        }
        Some(TransportHeader::Udp(udp)) => {
            let sum = udp.calc_checksum_ipv4(ip, payload).context("summing the datagram")?;
            (udp.source_port, udp.destination_port, udp.checksum, sum)
        }
        other => bail!("the output's transport header is {other:?}"),
    };
    ensure!(found == sum, "transport checksum {found:#x}, not {sum:#x}");
    let target = SocketAddrV4::new(ip.destination.into(), target);
    ensure!(target == flow.target, "sent to {target}, not {}", flow.target);
    Ok(SocketAddrV4::new(ip.source.into(), source))
}

/// Checks that a frame leaves towards the target's host.
///
/// # Errors
///
/// When a MAC address is another one.
pub fn check_macs(frame: &[u8], macs: &Macs) -> Result<()> {
    ensure!(frame.get(..6) == Some(&macs.target), "wrong destination MAC");
    ensure!(frame.get(6..12) == Some(&macs.provider_port), "wrong source MAC");
    Ok(())
}

/// One's complement sum of big-endian 16-bit words, folded to 16 bits.
pub fn ones_sum(words: impl IntoIterator<Item = u16>) -> u16 {
    let sum: u64 = words.into_iter().map(u64::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The words of a byte string whose length is even, or padded with zero.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks(2).map(|pair| {
        u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)])
    })
}
