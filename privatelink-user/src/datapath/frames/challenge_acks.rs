//! Notifies both ends of a TCP flow that the gateway has ended it, and asks an end whether it still
//! knows the connection.
//!
//! A receiver accepts a reset only with the sequence number that it expects, and the datapath does
//! not keep those. So each end gets an acknowledgment outside of its window instead. It has to
//! answer that with one that holds its own numbers (RFC 9293, section 3.10.7.4). By then the
//! answer belongs to no flow, and the datapath replies to it with a reset that fits.

use etherparse::PacketBuilder;
use privatelink_common::{
    End, EndCause, Mac, Refusal, TCP,
    flow::{Phase, word},
};
use std::net::{IpAddr, SocketAddr};

/// Two sequence numbers, half of all numbers apart, so that at most one of them is within the
/// receiver's window.
const SEQUENCES: [u32; 2] = [0, 1 << 31];

/// An acknowledgment that its receiver has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAck {
    /// Index of the interface to send on.
    pub ifindex: u32,
    /// The Ethernet frame with its headers.
    pub frame: Vec<u8>,
}

/// What to send when a flow has ended. Nothing for flows that were closed by their ends or never
/// established, nor where the provider wants refused consumers to get no answer.
pub fn for_end(end: &End) -> Vec<ChallengeAck> {
    if end.flow.protocol() != TCP || !is_cut(end) {
        return Vec::new();
    }
    challenges(&legs(end))
}

/// What to send when one end of a flow is said to have reset it, perhaps by a stranger: the other
/// end is asked. If it still has the connection, its answer goes to the first one, which resets it
/// where it really has none.
pub fn for_doubt(end: &End) -> Vec<ChallengeAck> {
    let [to_client, to_target] = legs(end);
    let asked = if end.flow.word & word::RESET_IN != 0 { to_target } else { to_client };
    challenges(&[asked])
}

fn challenges(legs: &[Leg]) -> Vec<ChallengeAck> {
    legs.iter()
        .flat_map(|leg| SEQUENCES.map(|sequence| leg.challenge(sequence)))
        .flatten()
        .collect()
}

/// The ways from the gateway to the client and to the target.
fn legs(end: &End) -> [Leg; 2] {
    let [client_port, listener_port] = end.flow.consumer_port_pair();
    let [target_port, source_port] = end.flow.provider_port_pair();
    let client = end.flow.client.to_ip();
    let address = match client {
        IpAddr::V4(_) => IpAddr::from(end.endpoint.v4.to_ne_bytes()),
        IpAddr::V6(_) => end.endpoint.v6.to_ip(),
    };
    let to_client = Leg {
        ifindex: end.endpoint.ifindex,
        vlan: end.endpoint.vlan,
        macs: (end.endpoint.mac, end.flow.client_mac),
        from: SocketAddr::new(address, listener_port),
        to: SocketAddr::new(client, client_port),
    };
    let to_target = Leg {
        ifindex: end.target.ifindex,
        vlan: end.target.vlan,
        macs: (end.target.mac, end.target.hop),
        from: SocketAddr::new(end.source.to_ip(), source_port),
        to: SocketAddr::new(end.target.address.to_ip(), target_port),
    };
    [to_client, to_target]
}

/// Whether both ends think that the flow goes on, and may learn that it does not.
fn is_cut(end: &End) -> bool {
    let alive = matches!(Phase::of(end.flow.word), Phase::Established | Phase::HalfClosed)
        && matches!(Phase::of(end.word_out), Phase::Established | Phase::HalfClosed)
        && end.word_out & word::REVERSE != 0;
    let silent = EndCause::of(end.cause) == Some(EndCause::NotAdmitted)
        && end.endpoint.refusal == Refusal::Drop as u32;
    let closed = EndCause::of(end.cause) == Some(EndCause::Closed);
    alive && !silent && !closed
}

/// From the gateway to one end of a flow.
struct Leg {
    ifindex: u32,
    vlan: u16,
    macs: (Mac, Mac),
    from: SocketAddr,
    to: SocketAddr,
}

/// Hop limit of the frames: the usual initial value, as if the other end had sent them.
const HOPS: u8 = 64;

impl Leg {
    fn challenge(&self, sequence: u32) -> Option<ChallengeAck> {
        let frame = self.frame(sequence)?;
        Some(ChallengeAck { ifindex: self.ifindex, frame })
    }

    fn frame(&self, sequence: u32) -> Option<Vec<u8>> {
        let (own, hop) = self.macs;
        let ethernet = PacketBuilder::ethernet2(own, hop);
        let mut frame = Vec::with_capacity(78);
        macro_rules! finish {
            ($link:expr) => {{
                let ip = match (self.from.ip(), self.to.ip()) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => {
                        $link.ipv4(from.octets(), to.octets(), HOPS)
                    }
                    (IpAddr::V6(from), IpAddr::V6(to)) => {
                        $link.ipv6(from.octets(), to.octets(), HOPS)
                    }
                    _ => return None,
                };
                ip.tcp(self.from.port(), self.to.port(), sequence, 0)
                    .ack(sequence)
                    .write(&mut frame, &[])
                    .ok()?;
            }};
        }
        if self.vlan == 0 {
            finish!(ethernet);
        } else {
            finish!(ethernet.single_vlan(etherparse::VlanId::try_new(self.vlan).ok()?));
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};
    use privatelink_common::{Addr, Endpoint, Target, flow::Flow};

    fn ports(first: u16, second: u16) -> u32 {
        let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
        u32::from_ne_bytes([a, b, c, d])
    }

    fn address(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap_or_else(|error| panic!("{text}: {error}")).into()
    }

    fn end(cause: EndCause, phase: Phase) -> End {
        let word = phase.bits() | u32::from(TCP) << word::PROTOCOL_SHIFT;
        End {
            flow: Flow {
                word,
                client: address("10.1.0.9"),
                consumer_ports: ports(40_000, 80),
                provider_ports: ports(8080, 2000),
                client_mac: [2, 0, 0, 0, 0, 9],
                ..Flow::default()
            },
            endpoint: Endpoint {
                v4: u32::from_ne_bytes([10, 1, 0, 50]),
                ifindex: 3,
                ..Endpoint::default()
            },
            target: Target {
                address: address("fd00::10"),
                ifindex: 4,
                vlan: 7,
                ..Target::default()
            },
            source: address("fd00::f0"),
            word_out: word | word::REVERSE,
            cause: cause as u32,
            ..End::default()
        }
    }

    #[test]
    fn both_ends_are_challenged_as_if_by_each_other() {
        let acks = for_end(&end(EndCause::Idle, Phase::Established));
        assert_eq!(
            acks.iter().map(|challenge| challenge.ifindex).collect::<Vec<_>>(),
            [3, 3, 4, 4]
        );
        for (challenge, ports) in acks.iter().zip([(80, 40_000), (80, 40_000), (2000, 8080)]) {
            let packet = SlicedPacket::from_ethernet(&challenge.frame).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("{packet:?}") };
            assert_eq!((tcp.source_port(), tcp.destination_port()), ports);
            assert!(tcp.ack() && !tcp.syn() && !tcp.rst() && !tcp.fin());
            assert_eq!(packet.link_exts.len(), usize::from(challenge.ifindex == 4));
        }
        let sequences: Vec<u32> = acks
            .iter()
            .filter_map(|challenge| {
                match SlicedPacket::from_ethernet(&challenge.frame).ok()?.transport {
                    Some(TransportSlice::Tcp(tcp)) => Some(tcp.sequence_number()),
                    _ => None,
                }
            })
            .collect();
        assert_eq!(sequences, [0, 1 << 31, 0, 1 << 31]);
    }

    #[test]
    fn only_the_end_that_has_not_said_reset_is_asked() {
        for (said, interface) in [(word::RESET_IN, 4), (word::RESET_OUT, 3)] {
            let mut doubted = end(EndCause::Idle, Phase::Established);
            doubted.cause = End::DOUBTED;
            doubted.flow.word |= said;
            let asked: Vec<u32> = for_doubt(&doubted).iter().map(|ack| ack.ifindex).collect();
            assert_eq!(asked, [interface; 2]);
        }
    }

    #[test]
    fn a_flow_that_is_over_or_never_was_is_not_challenged() {
        assert!(for_end(&end(EndCause::Closed, Phase::Closing)).is_empty());
        assert!(for_end(&end(EndCause::Unanswered, Phase::Answered)).is_empty());
        let mut silent = end(EndCause::NotAdmitted, Phase::Established);
        assert!(!for_end(&silent).is_empty());
        silent.endpoint.refusal = Refusal::Drop as u32;
        assert!(for_end(&silent).is_empty());
        let mut datagrams = end(EndCause::Idle, Phase::Established);
        datagrams.flow.word = Phase::Established.bits() | 17 << word::PROTOCOL_SHIFT;
        assert!(for_end(&datagrams).is_empty());
    }
}
