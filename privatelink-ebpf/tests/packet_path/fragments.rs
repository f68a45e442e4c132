//! Datagrams in fragments arrive whole, wherever they were cut.

use crate::{
    gateway::{
        ACME, ACME_MAC, CLIENT_MAC, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, TARGET_MAC,
        VENDOR, VENDOR_MAC,
    },
    packets::{ACK, Packet, Transport, fold, sum, transport_at},
};
use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Both ways, and between families: the parts together are what etherparse makes of the whole, and all have one
    /// identification that is the datagram's alone.
    #[test]
    fn datagrams_arrive_whole_wherever_they_are_cut(
        v4 in any::<bool>(),
        crosses in any::<bool>(),
        tcp in any::<bool>(),
        payload in vec(any::<u8>(), 100..4000),
        cuts in vec(8..150_usize, 1..5),
        number in any::<u16>(),
    ) {
        let parties = match (crosses, v4) {
            (true, _) => Parties::across(v4),
            (false, true) => Parties::v4(),
            (false, false) => Parties::v6(),
        };
        let mut gateway = Gateway::new(&parties);
        // What is left behind the last cut may be large.
        (gateway.target().mtu, gateway.endpoint().mtu) = (9000, 9000);
        let transport = if tcp { Transport::Tcp(ACK, 5) } else { Transport::Udp };
        let source = gateway.open(transport);
        let there = gateway.client_packet(transport).payload(&payload);
        let across = Packet { from: source, to: parties.target, ttl: 63, ..there.clone() }
            .macs(VENDOR_MAC, TARGET_MAC);
        let back = gateway.target_packet(source, transport).payload(&payload);
        let home = Packet { from: parties.endpoint, to: parties.client, ttl: 63, ..back.clone() }
            .macs(ACME_MAC, CLIENT_MAC);
        for (ifindex, packet, expected, verdict) in [
            (ACME, &there, &across, SEND_TO_TARGET),
            (VENDOR, &back, &home, SEND_TO_CLIENT),
        ] {
            let (mut content, mut numbers) = (Vec::new(), Vec::new());
            for part in cut(&packet.bytes(), &cuts, number) {
                let (out_verdict, out) = gateway.run(ifindex, &part);
                prop_assert_eq!(out_verdict, verdict);
                let (at, number) = place(&out);
                let is_v4 = out[14] >> 4 == 4;
                prop_assert!(!is_v4 || fold(sum(&out[14..34])) == 0xffff);
                content.extend_from_slice(&out[at..]);
                numbers.push(number);
            }
            let whole = expected.bytes();
            prop_assert_eq!(&content, &whole[transport_at(&whole)..]);
            prop_assert!(numbers.iter().all(|number| *number == numbers[0]));
        }
    }
}

/// Where a fragment's part begins, and its identification; one that is the whole datagram need not
/// have any.
fn place(frame: &[u8]) -> (usize, u32) {
    if frame[14] >> 4 == 4 {
        (34, u32::from(u16::from_be_bytes([frame[18], frame[19]])))
    } else if frame[20] != 44 {
        (54, 0)
    } else {
        (62, u32::from_be_bytes([frame[58], frame[59], frame[60], frame[61]]))
    }
}

/// Cuts a frame's packet into fragments; each cut is so many units of eight bytes behind the last.
fn cut(frame: &[u8], cuts: &[usize], number: u16) -> Vec<Vec<u8>> {
    let at = transport_at(frame);
    let (head, content) = frame.split_at(at);
    let mut bounds = vec![0];
    for cut in cuts {
        let next = bounds.last().unwrap() + cut * 8;
        if next < content.len() {
            bounds.push(next);
        }
    }
    bounds.push(content.len());
    let part = |ends: &[usize]| {
        let more = u16::from(ends[1] < content.len());
        let part = &content[ends[0]..ends[1]];
        if at == 34 {
            fragment_v4(head, part, (ends[0] as u16 / 8) | (more << 13), number)
        } else {
            fragment_v6(head, part, ends[0] as u16 | more, number)
        }
    };
    bounds.windows(2).map(part).collect()
}

fn fragment_v4(head: &[u8], part: &[u8], place: u16, number: u16) -> Vec<u8> {
    let mut frame = [head, part].concat();
    let length = (part.len() + 20) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[18..20].copy_from_slice(&number.to_be_bytes());
    frame[20..22].copy_from_slice(&place.to_be_bytes());
    frame[24..26].fill(0);
    let check = !fold(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&check.to_be_bytes());
    frame
}

fn fragment_v6(head: &[u8], part: &[u8], place: u16, number: u16) -> Vec<u8> {
    let ([a, b], [c, d]) = (place.to_be_bytes(), number.to_be_bytes());
    let header = [head[20], 0, a, b, 0, 0, c, d];
    let mut frame = [head, &header, part].concat();
    let length = (part.len() + 8) as u16;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    frame[20] = 44;
    frame
}
