//! ICMP errors as the other family has them (RFC 7915, sections 4.2 and 5.2).

use super::icmp::{icmp_v4, icmp_v6};

/// There is no such message in the other family.
pub const NO_MESSAGE: u32 = u32::MAX;

/// The least MTU of a link with IPv6.
const LEAST_MTU: u32 = 1280;
/// What the IPv6 header is longer than the IPv4 header.
const LONGER: u32 = 20;
/// Where the next header stands in an IPv6 header.
const NEXT_HEADER: u32 = 6;

const fn message((kind, code): (u8, u8)) -> u32 {
    u32::from_be_bytes([0, 0, kind, code])
}

/// Type and code of an error over IPv4, over IPv6.
#[inline(always)]
pub fn message_to_v6(kind: u8, code: u8) -> u32 {
    match (kind, code) {
        (icmp_v4::UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => message((icmp_v6::UNREACHABLE, 0)),
        (icmp_v4::UNREACHABLE, 2) => message((icmp_v6::PARAMETER_PROBLEM, 1)),
        (icmp_v4::UNREACHABLE, icmp_v4::PORT) => message((icmp_v6::UNREACHABLE, icmp_v6::PORT)),
        (icmp_v4::UNREACHABLE, icmp_v4::FRAGMENTATION_NEEDED) => message((icmp_v6::TOO_BIG, 0)),
        (icmp_v4::UNREACHABLE, 9 | 10 | 13 | 15) => {
            message((icmp_v6::UNREACHABLE, icmp_v6::PROHIBITED))
        }
        (icmp_v4::TIME_EXCEEDED, 0 | 1) => message((icmp_v6::TIME_EXCEEDED, code)),
        (icmp_v4::PARAMETER_PROBLEM, 0 | 2) => message((icmp_v6::PARAMETER_PROBLEM, 0)),
        _ => NO_MESSAGE,
    }
}

/// The rest of the header of such an error: the MTU or the pointer, as the other header has it.
#[inline(always)]
pub fn rest_to_v6(kind: u8, code: u8, rest: u32) -> u32 {
    match (kind, code) {
        (icmp_v4::UNREACHABLE, icmp_v4::FRAGMENTATION_NEEDED) => {
            // Old routers send zero.
            let mtu = (rest & 0xffff) + LONGER;
            if mtu < LEAST_MTU { LEAST_MTU } else { mtu }
        }
        (icmp_v4::UNREACHABLE, 2) => NEXT_HEADER,
        (icmp_v4::PARAMETER_PROBLEM, _) => match rest >> 24 {
            same @ (0 | 1) => same,
            2 | 3 => 4,
            8 => 7,
            9 => NEXT_HEADER,
            12..=15 => 8,
            16..=19 => 24,
            _ => NO_MESSAGE,
        },
        _ => 0,
    }
}

/// Type and code of an error over IPv6, over IPv4.
#[inline(always)]
pub fn message_to_v4(kind: u8, code: u8) -> u32 {
    match (kind, code) {
        (icmp_v6::UNREACHABLE, 0 | 2 | icmp_v6::ADDRESS) => {
            message((icmp_v4::UNREACHABLE, icmp_v4::HOST))
        }
        // The host is prohibited.
        (icmp_v6::UNREACHABLE, icmp_v6::PROHIBITED) => message((icmp_v4::UNREACHABLE, 10)),
        (icmp_v6::UNREACHABLE, icmp_v6::PORT) => message((icmp_v4::UNREACHABLE, icmp_v4::PORT)),
        (icmp_v6::TOO_BIG, _) => message((icmp_v4::UNREACHABLE, icmp_v4::FRAGMENTATION_NEEDED)),
        (icmp_v6::TIME_EXCEEDED, 0 | 1) => message((icmp_v4::TIME_EXCEEDED, code)),
        (icmp_v6::PARAMETER_PROBLEM, 0) => message((icmp_v4::PARAMETER_PROBLEM, 0)),
        // The protocol is unreachable.
        (icmp_v6::PARAMETER_PROBLEM, 1) => message((icmp_v4::UNREACHABLE, 2)),
        _ => NO_MESSAGE,
    }
}

/// The rest of the header of such an error.
#[inline(always)]
pub fn rest_to_v4(kind: u8, code: u8, rest: u32) -> u32 {
    match (kind, code) {
        (icmp_v6::TOO_BIG, _) => {
            let mtu = rest.saturating_sub(LONGER);
            if mtu < 0xffff { mtu } else { 0xffff }
        }
        (icmp_v6::PARAMETER_PROBLEM, 0) => {
            let pointer = match rest {
                same @ (0 | 1) => same,
                4 | 5 => 2,
                NEXT_HEADER => 9,
                7 => 8,
                8..=23 => 12,
                24..=39 => 16,
                _ => return NO_MESSAGE,
            };
            pointer << 24
        }
        _ => 0,
    }
}
