//! TCP's phases, followed from flags; and clients that change their Ethernet address.
//!
//! Both slots of a flow carry the phase, so that the fast path looks at one only. A change is
//! rare, and this is where the other slot is looked up.

use super::{operations::Operations, other::other_slot, table::Leg};
use crate::{environment::Tables, wire::tcp_flags};
use privatelink_common::flow::{Phase, Slot, word};

/// Notes what a packet's flags mean for its flow.
pub fn follow<T: Operations>(tables: &T, index: u32, flags: u32) {
    let Some(leg) = Leg::at(tables, index) else { return };
    let marks = word::PHASE | word::FIN_IN | word::FIN_OUT;
    let next = advance(leg.word, flags);
    count(tables, &leg, flags, next);
    let noted = noted(flags);
    if next == leg.word & marks && noted & !leg.word == 0 {
        return;
    }
    let put = |slot: &Slot, word: u32, noted: u32| {
        // If another CPU has changed the word, its change wins: the next packet sees it.
        let _won = tables.exchange(slot.word_cell(), word, word & !marks | next | noted);
    };
    put(leg.slot, leg.word, noted);
    if next == leg.word & marks {
        return;
    }
    if let Some(other) = other_slot(tables, &leg).and_then(|index| tables.slot(index)) {
        put(other, other.word(), 0);
    }
}

/// Flags that move a flow to another phase.
pub const PHASE_FLAGS: u32 = tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST;

/// Whether a packet may move its flow to another phase.
#[inline(always)]
pub fn changes_phase(flags: u32, word: u32) -> bool {
    flags & PHASE_FLAGS != 0 || word & word::PHASE != Phase::Established.bits()
}

/// Counts resets and answers, by which people judge endpoint and target.
#[inline(always)]
fn count<T: Tables>(tables: &T, leg: &Leg<'_>, flags: u32, next: u32) {
    let opening = Phase::of(leg.word) == Phase::Opening;
    if flags & tcp_flags::RST != 0 {
        let reverse = leg.is_reverse();
        tables.count_endpoint(leg.slot.endpoint(), |count| {
            *(if reverse { &mut count.resets_out } else { &mut count.resets_in }) += 1;
        });
        if reverse {
            tables.count_target(leg.slot.target(), |count| {
                count.resets += 1;
                count.refused += u64::from(opening);
            });
        }
    } else if opening && Phase::of(next) == Phase::Answered {
        tables.count_target(leg.slot.target(), |count| count.answered += 1);
    }
}

/// The flags of a packet that a slot's word keeps: those that open and end connections.
#[inline(always)]
fn noted(flags: u32) -> u32 {
    let with_syn = if flags & tcp_flags::SYN != 0 { tcp_flags::ACK } else { 0 };
    let kept = tcp_flags::FIN | tcp_flags::SYN | tcp_flags::RST | with_syn;
    (flags & kept) << word::FLAGS_SHIFT
}

/// Phase and FIN marks after a packet with these flags.
#[inline(always)]
fn advance(word: u32, flags: u32) -> u32 {
    let reverse = word & word::REVERSE != 0;
    let phase = Phase::of(word);
    let mut fins = word & (word::FIN_IN | word::FIN_OUT);
    let set = |mask| flags & mask == mask;
    let next = if set(tcp_flags::RST) {
        Phase::Closing
    } else if set(tcp_flags::FIN) {
        fins |= if reverse { word::FIN_OUT } else { word::FIN_IN };
        if fins == word::FIN_IN | word::FIN_OUT { Phase::Closing } else { Phase::HalfClosed }
    } else {
        match phase {
            Phase::Opening if reverse && set(tcp_flags::SYN | tcp_flags::ACK) => Phase::Answered,
            Phase::Answered if !reverse && set(tcp_flags::ACK) && !set(tcp_flags::SYN) => {
                Phase::Established
            }
            Phase::Opening
            | Phase::Answered
            | Phase::Established
            | Phase::HalfClosed
            | Phase::Closing => phase,
        }
    };
    next.bits() | fins
}

/// Sends a flow's replies to another Ethernet address from now on.
#[inline(never)]
pub fn follow_client<T: Operations>(tables: &T, index: u32, high: u16, low: u32) {
    let Some(leg) = Leg::at(tables, index) else { return };
    leg.slot.set_client_mac(high, low);
    if let Some(other) = other_slot(tables, &leg).and_then(|index| tables.slot(index)) {
        other.set_client_mac(high, low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_flags::{ACK, FIN, RST, SYN};

    const IN: u32 = 0;
    const OUT: u32 = word::REVERSE;

    /// Runs flags through the phases, each from one side.
    fn run(packets: &[(u32, u32)]) -> Phase {
        let mut marks = Phase::Opening.bits();
        for &(side, flags) in packets {
            marks = advance(side | marks, flags);
        }
        Phase::of(marks)
    }

    #[test]
    fn three_way_handshake_establishes() {
        assert_eq!(run(&[(IN, SYN)]), Phase::Opening);
        assert_eq!(run(&[(IN, SYN), (OUT, SYN | ACK)]), Phase::Answered);
        assert_eq!(run(&[(IN, SYN), (OUT, SYN | ACK), (IN, ACK)]), Phase::Established);
    }

    #[test]
    fn an_ack_from_the_target_alone_establishes_nothing() {
        assert_eq!(run(&[(IN, SYN), (OUT, ACK)]), Phase::Opening);
        assert_eq!(run(&[(IN, SYN), (OUT, SYN | ACK), (OUT, ACK)]), Phase::Answered);
    }

    #[test]
    fn both_fins_close_one_does_not() {
        let open = [(IN, SYN), (OUT, SYN | ACK), (IN, ACK)];
        let with = |more: &[(u32, u32)]| run(&[&open[..], more].concat());
        assert_eq!(with(&[(IN, FIN | ACK)]), Phase::HalfClosed);
        assert_eq!(with(&[(IN, FIN | ACK), (IN, FIN | ACK)]), Phase::HalfClosed);
        assert_eq!(with(&[(IN, FIN | ACK), (OUT, FIN | ACK)]), Phase::Closing);
        assert_eq!(with(&[(IN, FIN | ACK), (OUT, FIN | ACK), (IN, ACK)]), Phase::Closing);
    }

    #[test]
    fn rst_closes_for_good() {
        let closed = [(IN, SYN), (OUT, RST | ACK)];
        assert_eq!(run(&closed), Phase::Closing);
        assert_eq!(run(&[&closed[..], &[(IN, SYN)]].concat()), Phase::Closing);
        assert_eq!(run(&[&closed[..], &[(OUT, SYN | ACK)]].concat()), Phase::Closing);
    }
}
