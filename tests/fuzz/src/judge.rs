//! An independent look at what becomes of a frame: etherparse takes it apart, not we.

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::{
    Ipv6FragmentHeader, Ipv6Header, NetSlice, SlicedPacket, TransportSlice, ip_number,
};
use privatelink_tests::fixtures::{Action, Outcome};
use privatelink_tests::packet::ETHERNET;

/// Numbers of the protocols as pseudo headers have them.
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;

/// Judges what became of a frame.
///
/// # Errors
/// What is wrong with it.
pub fn judge(before: &[u8], after: &Outcome) -> Result<()> {
    let shown = || format!("{before:02x?}\nbecame {after:02x?}");
    if after.action == Action::Redirect as u32 {
        return sent(before, &after.frame).with_context(shown);
    }
    let known = [Action::Drop, Action::Pass].iter().any(|action| *action as u32 == after.action);
    ensure!(known, "no such action: {}", shown());
    ensure!(after.frame == before, "it was not sent, but changed: {}", shown());
    Ok(())
}

/// Judges a frame that is sent because another came in.
fn sent(before: &[u8], after: &[u8]) -> Result<()> {
    let sliced = match SlicedPacket::from_ethernet(after) {
        // What follows there are a datagram's bytes, whatever header the fragment's names.
        Err(_) if is_later_fragment(after) => return Ok(()),
        sliced => sliced.context("what is sent does not parse")?,
    };
    check_lengths(after, &sliced)?;
    if transport_holds(&sliced) == Some(false) {
        let original = SlicedPacket::from_ethernet(before).context("it comes from no packet")?;
        // Wrong checksums stay wrong, for the receiver to see; but what we make has right ones.
        let ours = is_icmp(&sliced) && !is_icmp(&original);
        ensure!(!ours && transport_holds(&original) != Some(true), "wrong transport checksum");
    }
    Ok(())
}

/// Whether the headers' lengths agree with the frame, and IPv4's checksum is right.
fn check_lengths(frame: &[u8], sliced: &SlicedPacket<'_>) -> Result<()> {
    let (header, length) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            ensure!(sum(header.slice()) == 0xffff, "wrong header checksum");
            ensure!(header.ttl() > 0, "no hop is left");
            (header.slice(), usize::from(header.total_len()))
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            ensure!(header.hop_limit() > 0, "no hop is left");
            (header.slice(), header.slice().len() + usize::from(header.payload_length()))
        }
        Some(NetSlice::Arp(_)) => return Ok(()),
        None => bail!("neither IP nor ARP"),
    };
    let start = header.as_ptr() as usize - frame.as_ptr() as usize;
    ensure!(start + length <= frame.len(), "its packet is longer than the frame");
    Ok(())
}

/// Whether it is an IPv6 fragment but not the first, and as long as it says.
fn is_later_fragment(frame: &[u8]) -> bool {
    let packet = frame.get(ETHERNET..).unwrap_or_default();
    let Ok((header, rest)) = Ipv6Header::from_slice(packet) else { return false };
    let fragment = Ipv6FragmentHeader::from_slice(rest);
    header.next_header == ip_number::IPV6_FRAG
        && usize::from(header.payload_length) <= rest.len()
        && fragment.is_ok_and(|(fragment, _)| fragment.fragment_offset.value() > 0)
}

fn is_icmp(sliced: &SlicedPacket<'_>) -> bool {
    matches!(sliced.transport, Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)))
}

/// Whether the transport checksum is right, or left out where it may be. Of a fragment nobody
/// knows.
fn transport_holds(sliced: &SlicedPacket<'_>) -> Option<bool> {
    let v4 = matches!(sliced.net, Some(NetSlice::Ipv4(_)));
    let pseudo = |protocol, segment: &[u8]| {
        let addresses = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => &ip.header().slice()[12..20],
            Some(NetSlice::Ipv6(ip)) => &ip.header().slice()[8..40],
            Some(NetSlice::Arp(_)) | None => return 0,
        };
        fold(sum(addresses) + sum(segment) + protocol + segment.len() as u32)
    };
    match sliced.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => Some(pseudo(TCP, tcp.slice()) == 0xffff),
        TransportSlice::Udp(udp) if udp.checksum() == 0 => Some(v4),
        TransportSlice::Udp(udp) => {
            let segment = udp.slice().get(..usize::from(udp.length()))?;
            Some(pseudo(UDP, segment) == 0xffff)
        }
        TransportSlice::Icmpv4(icmp) => Some(sum(icmp.slice()) == 0xffff),
        TransportSlice::Icmpv6(icmp) => Some(pseudo(ICMPV6, icmp.slice()) == 0xffff),
        TransportSlice::Igmp(_) => None,
    }
}

/// The ones' complement sum of bytes in network order.
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    fold(bytes.chunks(2).map(word).sum())
}

fn fold(sum: u32) -> u32 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use privatelink_tests::fixtures::{Family, Talk};
    use privatelink_tests::packet::Given;

    use super::*;

    fn outcome(action: Action, frame: &[u8]) -> Outcome {
        Outcome { action: action as u32, ifindex: None, frame: frame.to_vec() }
    }

    /// A judge that finds nothing is worth nothing.
    #[test]
    fn what_is_wrong_is_found() {
        for talk in Talk::all() {
            let right = talk.request().payload(b"payload").build(&Given::default());
            judge(&right, &outcome(Action::Redirect, &right)).unwrap();
            judge(&right, &outcome(Action::Pass, &right)).unwrap();
            judge(&right, &outcome(Action::Pass, &right[..20])).unwrap_err();
            judge(&right, &outcome(Action::Redirect, &right[..right.len() - 1])).unwrap_err();
            let mut wrong = right.clone();
            *wrong.last_mut().unwrap() ^= 1;
            judge(&right, &outcome(Action::Redirect, &wrong)).unwrap_err();
            judge(&wrong, &outcome(Action::Redirect, &wrong)).unwrap();
            judge(&right, &outcome(Action::Drop, &wrong)).unwrap_err();
            if talk.family == Family::V4 {
                let mut wrong = right.clone();
                wrong[24] ^= 1;
                judge(&wrong, &outcome(Action::Redirect, &wrong)).unwrap_err();
            }
        }
    }
}
