//! ICMP and ICMPv6 for the gateway's own addresses: pings are answered, and errors find the flow
//! that they belong to, and lose what must not go on.

use crate::{
    environment::Frame,
    flows::{operations::Operations, table::Arrival},
    stages::{
        objects, path_mtu,
        stop::refused_admission,
        sum::{self, Soundness},
        verdict::Verdict,
    },
    wire::{
        Control, Datagram, ETHERNET_LEN, Ethernet, Extension, Fragment, Fresh, Icmp, LEAST_QUOTE,
        Quoted, Tcp, Transport, Udp, swapped,
    },
};
use privatelink_common::{Local, LocalKey, LocalKind, Mac, Reason, Refusal, Scratch, Stage};

/// The stage for a control message to one of our addresses, at our Ethernet address.
#[inline(never)]
pub fn icmp<F: Frame, T: Operations, I: Fresh>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let network = scratch.network.load();
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return Verdict::NOT_OURS };
    let datagram = match &header.datagram() {
        Ok(datagram) => *datagram,
        Err(reason) => return Verdict::drop(*reason),
    };
    let key = LocalKey { network, address: I::to_addr(datagram.destination) };
    let Some(local) = tables.local(&key) else { return Verdict::NOT_OURS };
    let length = datagram.length as usize;
    if length < I::LEN + size_of::<Icmp>() || !frame.holds(ETHERNET_LEN + length) {
        return Verdict::drop_for(Reason::Malformed, &local);
    }
    let Some(message) = frame.view::<Icmp>(ETHERNET_LEN + I::LEN) else {
        return Verdict::drop_for(Reason::Malformed, &local);
    };
    if message.kind == I::ECHO_REQUEST && message.code == 0 {
        return echo::<F, T, I>(frame, tables, &datagram, &local);
    }
    if I::is_error(message.kind) {
        return error::<F, T, I>(frame, tables, &datagram, &local, scratch);
    }
    Verdict::drop_for(Reason::Protocol, &local)
}

/// Answers a ping. An endpoint that waits for its provider's decision answers too, which shows a
/// client that the address is right, unless the provider has chosen silence.
#[inline(always)]
fn echo<F: Frame, T: Operations, I: Fresh>(
    frame: &mut F,
    tables: &T,
    datagram: &Datagram<I>,
    local: &Local,
) -> Verdict {
    if local.kind == LocalKind::Endpoint as u32 {
        let Some(endpoint) = tables.endpoint(local.index) else {
            return Verdict::drop(Reason::Internal);
        };
        let silent = endpoint.refusal == Refusal::Drop as u32;
        if silent && let Some(reason) = refused_admission(endpoint.admission) {
            return Verdict::drop_at(reason, local.index);
        }
    }
    // A group's address as the sender is forged.
    if !I::is_host(datagram.source) {
        return Verdict::drop_for(Reason::Malformed, local);
    }
    // One in several buffers is left to whoever reads the answer.
    if sum::verify::<F, T, I>(frame, tables) == Soundness::Wrong {
        return Verdict::drop_for(Reason::BadChecksum, local);
    }
    if echo_answer::<F, I>(frame, local.mac).is_none() {
        return Verdict::NOT_OURS;
    }
    Verdict::Send { ifindex: frame.ingress() }
}

/// Turns a ping into its answer.
#[inline(always)]
pub fn echo_answer<F: Frame, I: Control>(frame: &mut F, mac: Mac) -> Option<()> {
    frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?.answer::<I>();
    frame.view::<I>(ETHERNET_LEN)?.turn_back();
    frame.view::<Ethernet>(0)?.turn_back(mac);
    Some(())
}

/// Finds the flow that an error is about: one of those that send packets like the quoted one.
#[inline(always)]
fn error<F: Frame, T: Operations, I: Fresh>(
    frame: &mut F,
    tables: &T,
    datagram: &Datagram<I>,
    local: &Local,
    scratch: &Scratch,
) -> Verdict {
    let read = Quote::<I>::read(frame, scratch.network.load(), datagram.length);
    let quote = match &read {
        Ok(quote) => quote,
        Err(reason) => return Verdict::drop_for(*reason, local),
    };
    // An error goes to the sender of the packet that it quotes.
    if quote.arrival.destination != datagram.destination {
        return Verdict::drop_for(Reason::IcmpUnrelated, local);
    }
    let Some(index) = tables.search(&quote.arrival) else {
        return Verdict::drop_for(Reason::IcmpUnrelated, local);
    };
    scratch.slot.store(index);
    scratch.quoted.store(quote.transport);
    let Some(endpoint) = tables.slot(index).map(|slot| slot.endpoint()) else {
        return Verdict::drop(Reason::Internal);
    };
    if sum::verify::<F, T, I>(frame, tables) != Soundness::Sound {
        return Verdict::drop_at(Reason::BadChecksum, endpoint);
    }
    path_mtu::lower::<F, T, I>(frame, tables, index);
    if objects::cut_off::<F, T, I>(frame, tables).is_none() {
        return Verdict::drop_at(Reason::Internal, endpoint);
    }
    Verdict::Next(Stage::IcmpError)
}

/// The packet that an error quotes: one that the gateway has sent.
struct Quote<I: Control> {
    /// The tuple of packets in answer to it.
    arrival: Arrival<I>,
    /// Where in the frame its transport header begins.
    transport: u32,
}

impl<I: Control> Quote<I> {
    /// Takes the quoted packet apart, in a message of this length from the IP header on.
    #[inline(never)]
    fn read<F: Frame>(frame: &mut F, network: u32, length: u32) -> Result<Self, Reason> {
        let start = I::LEN + size_of::<Icmp>();
        let left = length.wrapping_sub(start as u32);
        let header = frame.view::<I>(ETHERNET_LEN + start).ok_or(Reason::Malformed)?;
        let mut quoted = header.quoted()?;
        if I::FRAGMENT_LEN != 0 && quoted.protocol == Extension::FRAGMENT {
            quoted = first_fragment(frame, quoted, left)?;
        }
        if quoted.protocol != Tcp::PROTOCOL && quoted.protocol != Udp::PROTOCOL {
            return Err(Reason::IcmpUnrelated);
        }
        if left < quoted.length + LEAST_QUOTE {
            return Err(Reason::Malformed);
        }
        let transport = (ETHERNET_LEN + start) as u32 + quoted.length;
        let head = frame.view::<Udp>(transport as usize).ok_or(Reason::Malformed)?;
        let arrival = Arrival {
            network,
            source: quoted.destination,
            destination: quoted.source,
            ports: swapped(head.ports()),
            protocol: quoted.protocol,
        };
        Ok(Self { arrival, transport })
    }
}

/// What a quoted header says together with the fragment's header behind it: only the first fragment
/// has the ports.
#[inline(always)]
fn first_fragment<F: Frame, I: Control>(
    frame: &mut F,
    quoted: Quoted<I>,
    left: u32,
) -> Result<Quoted<I>, Reason> {
    let length = quoted.length + I::FRAGMENT_LEN as u32;
    if left < length {
        return Err(Reason::Malformed);
    }
    let at = ETHERNET_LEN + I::LEN + size_of::<Icmp>() + I::LEN;
    let header = frame.view::<Extension>(at).ok_or(Reason::Malformed)?;
    if header.place() & Fragment::OFFSET != 0 {
        return Err(Reason::IcmpUnrelated);
    }
    Ok(Quoted { protocol: u32::from(header.next), length, ..quoted })
}
