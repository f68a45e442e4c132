//! A frame as the judge reads it: by its own eyes, not by the datapath's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;

/// One packet of IP.
#[derive(Clone, Debug)]
pub struct View {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Ports of TCP and UDP; zero in later fragments and otherwise.
    pub ports: [u16; 2],
    /// Whether a TCP segment resets its connection.
    pub resets: bool,
    /// Offset of a fragment.
    pub offset: u16,
    /// Options that record where a packet was: their numbers.
    pub recorded: Vec<u8>,
    /// Type and code of ICMP.
    pub message: Option<(u8, u8)>,
    /// The MTU that an error reports.
    pub mtu: Option<u32>,
    /// The packet that an error is about.
    pub quote: Option<Box<View>>,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

impl View {
    /// Reads what is behind an Ethernet header; `None` if it is not IP.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let mut at = 12;
        while matches!(word(frame, at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
        match word(frame, at)? {
            0x0800 | 0x86dd => Self::packet(frame.get(at + 2..)?, true),
            _ => None,
        }
    }

    fn packet(bytes: &[u8], quotes: bool) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::v4(bytes, quotes),
            6 => Self::v6(bytes, quotes),
            _ => None,
        }
    }

    fn v4(bytes: &[u8], quotes: bool) -> Option<Self> {
        let length = usize::from(bytes.first()? & 15) * 4;
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        };
        let mut view = Self::new(address(12)?, address(16)?, *bytes.get(9)?);
        view.offset = word(bytes, 6)? & 0x1fff;
        let mut options = bytes.get(20..length).unwrap_or_default();
        while let [kind, rest @ ..] = options {
            let skip = match kind {
                0 => break,
                1 => 1,
                _ => usize::from(*rest.first().unwrap_or(&2)).max(2),
            };
            // Record route, timestamp, and both source routes.
            if matches!(kind, 7 | 68 | 131 | 137) {
                view.recorded.push(*kind);
            }
            options = options.get(skip..).unwrap_or_default();
        }
        view.content(bytes.get(length..).unwrap_or_default(), quotes);
        Some(view)
    }

    fn v6(bytes: &[u8], quotes: bool) -> Option<Self> {
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        let mut view = Self::new(address(8)?, address(24)?, *bytes.get(6)?);
        let mut rest = bytes.get(40..).unwrap_or_default();
        while matches!(view.protocol, 0 | 43 | FRAGMENT | 60) {
            let Some(next) = rest.first() else { break };
            let length = if view.protocol == FRAGMENT {
                view.offset = word(rest, 2).unwrap_or_default() >> 3;
                8
            } else {
                (usize::from(*rest.get(1).unwrap_or(&0)) + 1) * 8
            };
            view.protocol = *next;
            rest = rest.get(length..).unwrap_or_default();
        }
        view.content(rest, quotes);
        Some(view)
    }

    fn new(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        let (ports, offset, recorded) = ([0; 2], 0, Vec::new());
        let (message, mtu, quote) = (None, None, None);
        let resets = false;
        Self { source, destination, protocol, ports, resets, offset, recorded, message, mtu, quote }
    }

    fn content(&mut self, bytes: &[u8], quotes: bool) {
        if self.offset > 0 {
            return;
        }
        match self.protocol {
            TCP | UDP => {
                self.ports = [0, 2].map(|at| word(bytes, at).unwrap_or_default());
                self.resets = self.protocol == TCP && bytes.get(13).is_some_and(|set| set & 4 != 0);
            }
            ICMP | ICMPV6 => {
                let Some([kind, code]) = bytes.first_chunk::<2>() else { return };
                self.message = Some((*kind, *code));
                let is_error = self.is_error();
                let low = word(bytes, 6).map(u32::from);
                let high = word(bytes, 4).map(u32::from);
                self.mtu = match (self.protocol, *kind, *code) {
                    (ICMP, 3, 4) => low,
                    (ICMPV6, 2, _) => high.zip(low).map(|(high, low)| high << 16 | low),
                    _ => None,
                };
                if is_error && quotes {
                    let quote = bytes.get(8..).and_then(|bytes| Self::packet(bytes, false));
                    self.quote = quote.map(Box::new);
                }
            }
            _ => {}
        }
    }

    /// Whether it reports an error about another packet.
    pub fn is_error(&self) -> bool {
        match (self.protocol, self.message) {
            (ICMP, Some((kind, _))) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (ICMPV6, Some((kind, _))) => kind < 128,
            _ => false,
        }
    }

    /// Protocol and both ends.
    pub fn tuple(&self) -> Tuple {
        (self.protocol, self.source, self.ports[0], self.destination, self.ports[1])
    }

    /// The same seen from the other end.
    pub fn reverse(&self) -> Tuple {
        (self.protocol, self.destination, self.ports[1], self.source, self.ports[0])
    }
}

/// Protocol, source and its port, destination and its port.
pub type Tuple = (u8, IpAddr, u16, IpAddr, u16);
