//! TCP's phases, followed from flags; and clients that change their Ethernet address.
//!
//! Both slots of a flow carry the phase, so that the fast path looks at one only. A change is
//! rare, and this is where the other slot is looked up.

use super::{account, operations::Operations, other::other_slot, table::Leg};
use crate::{environment::Tables, wire::tcp_flags};
use privatelink_common::{
    UDP,
    flow::{Phase, Slot, word},
};

/// Notes what a packet's flags mean for its flow.
pub fn follow<T: Operations>(tables: &T, index: u32, flags: u32) {
    let Some(leg) = Leg::at(tables, index) else { return };
    let marks =
        word::PHASE | word::FIN_IN | word::FIN_OUT | word::DOUBT | word::ASKED | word::UNSETTLED;
    let next = advance(leg.word, flags);
    count(tables, &leg, flags, next);
    let noted = noted(flags);
    if next == leg.word & marks && noted & !leg.word == 0 {
        return;
    }
    let put = |slot: &Slot, word: u32, noted: u32| {
        // If another CPU has changed the word, its change wins: the next packet sees it.
        let after = word & !marks | next | noted;
        if tables.exchange(slot.word_cell(), word, after) {
            account::changed(tables, slot, word, after);
        }
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
    flags & PHASE_FLAGS != 0 || word & (word::PHASE | word::DOUBT) != Phase::Established.bits()
}

/// Whether a packet may open another connection under the tuple of a flow that one end is said to
/// have reset. Its target decides: if it answers with SYN, the flow begins anew.
#[inline(always)]
pub fn may_begin_anew(flags: u32, word: u32) -> bool {
    word & word::DOUBT != 0
        && word & word::REVERSE == 0
        && flags & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN
}

/// Counts resets and answers, by which people judge endpoint and target.
#[inline(always)]
fn count<T: Tables>(tables: &T, leg: &Leg<'_>, flags: u32, next: u32) {
    let opening = Phase::of(leg.word) == Phase::Opening;
    let repeated = leg.word & word::DOUBT != 0 || Phase::of(leg.word) == Phase::Closing;
    if flags & tcp_flags::RST != 0 {
        // What the other end says to it, when it is asked, is no reset of its own.
        if repeated {
            return;
        }
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

/// Phase and marks after a packet with these flags.
///
/// The gateway does not follow sequence numbers, so any host that knows the tuple can forge an RST
/// that its receiver ignores. An RST therefore leaves the flow in doubt, no more: until the other
/// end says RST too, or either says anything else, or both are silent.
#[inline(always)]
fn advance(word: u32, flags: u32) -> u32 {
    let reverse = word & word::REVERSE != 0;
    if word & word::PROTOCOL == u32::from(UDP) << word::PROTOCOL_SHIFT {
        // The target's first datagram is the answer.
        let marks = word & (word::PHASE | word::UNSETTLED);
        return if reverse { Phase::Established.bits() } else { marks };
    }
    let phase = Phase::of(word);
    let mut fins = word & (word::FIN_IN | word::FIN_OUT);
    let set = |mask| flags & mask == mask;
    if set(tcp_flags::RST) {
        return reset(word, fins);
    }
    if may_begin_anew(flags, word) {
        return word & (word::PHASE | word::DOUBT | word::ASKED | word::UNSETTLED) | fins;
    }
    // The target, which was not the one to say RST, knows of no connection before this one.
    if reverse && word & word::DOUBT == word::RESET_IN && set(tcp_flags::SYN | tcp_flags::ACK) {
        return Phase::Answered.bits() | word::UNSETTLED;
    }
    let next = if set(tcp_flags::FIN) {
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
    let is_settled = matches!(next, Phase::Established | Phase::HalfClosed);
    next.bits() | fins | if is_settled { 0 } else { word::UNSETTLED }
}

/// Phase and marks after an RST; `fins` are those of the word.
#[inline(always)]
fn reset(word: u32, fins: u32) -> u32 {
    let by = if word & word::REVERSE != 0 { word::RESET_OUT } else { word::RESET_IN };
    let resets = word & word::DOUBT | by;
    if Phase::of(word) == Phase::Closing || resets == word::DOUBT {
        return Phase::Closing.bits() | word::UNSETTLED | fins;
    }
    word & (word::PHASE | word::ASKED | word::UNSETTLED) | resets | fins
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
        Phase::of(marks(packets))
    }

    fn marks(packets: &[(u32, u32)]) -> u32 {
        let start = Phase::Opening.bits();
        packets.iter().fold(start, |marks, &(side, flags)| advance(side | marks, flags))
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
    fn only_the_targets_first_datagram_settles_a_flow_of_udp() {
        let udp = u32::from(UDP) << word::PROTOCOL_SHIFT;
        let forward = udp | Phase::Established.bits() | word::UNSETTLED;
        assert_eq!(advance(forward, 0), Phase::Established.bits() | word::UNSETTLED);
        let reverse = udp | OUT | Phase::Opening.bits() | word::UNSETTLED;
        assert_eq!(advance(reverse, 0), Phase::Established.bits());
    }

    #[test]
    fn flows_of_tcp_are_settled_between_handshake_and_end() {
        let after =
            |phase: Phase, side, flags| advance(side | phase.bits(), flags) & word::UNSETTLED;
        assert_eq!(after(Phase::Opening, OUT, SYN | ACK), word::UNSETTLED);
        assert_eq!(after(Phase::Answered, IN, ACK), 0);
        assert_eq!(after(Phase::Established, IN, FIN | ACK), 0);
        // It is doubted until the other end says so, too.
        assert_eq!(after(Phase::Established, OUT, RST), 0);
        assert_eq!(after(Phase::HalfClosed, OUT, FIN | ACK), 0);
        assert_eq!(
            advance(OUT | Phase::Established.bits() | word::RESET_IN, RST) & word::UNSETTLED,
            word::UNSETTLED
        );
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

    const OPEN: [(u32, u32); 3] = [(IN, SYN), (OUT, SYN | ACK), (IN, ACK)];

    /// Phase and doubt after these packets of an open flow.
    fn after(packets: &[(u32, u32)]) -> (Phase, u32) {
        let marks = marks(&[&OPEN[..], packets].concat());
        (Phase::of(marks), marks & word::DOUBT)
    }

    #[test]
    fn an_rst_is_doubted_until_either_end_says_more() {
        for (side, doubt) in [(IN, word::RESET_IN), (OUT, word::RESET_OUT)] {
            assert_eq!(after(&[(side, RST)]), (Phase::Established, doubt));
            assert_eq!(after(&[(side, RST), (side, RST | ACK)]), (Phase::Established, doubt));
            for speaker in [IN, OUT] {
                assert_eq!(after(&[(side, RST), (speaker, ACK)]), (Phase::Established, 0));
                let fin = [(side, RST), (speaker, FIN | ACK)];
                assert_eq!(after(&fin), (Phase::HalfClosed, 0));
            }
        }
    }

    #[test]
    fn rsts_of_both_ends_close_for_good() {
        assert_eq!(after(&[(IN, RST), (OUT, RST)]), (Phase::Closing, 0));
        let closed = [(OUT, RST), (IN, RST)];
        for more in [(IN, ACK), (OUT, ACK), (IN, SYN), (OUT, SYN | ACK), (IN, RST)] {
            assert_eq!(after(&[&closed[..], &[more]].concat()), (Phase::Closing, 0));
        }
    }

    #[test]
    fn a_refusal_is_doubted_too() {
        let refused = [(IN, SYN), (OUT, RST | ACK)];
        assert_eq!(run(&refused), Phase::Opening);
        assert_eq!(marks(&refused) & word::DOUBT, word::RESET_OUT);
        let answered = [&refused[..], &[(OUT, SYN | ACK)]].concat();
        assert_eq!(run(&answered), Phase::Answered);
        assert_eq!(marks(&answered) & word::DOUBT, 0);
    }

    #[test]
    fn the_target_decides_whether_a_syn_begins_anew() {
        let asked = [(IN, FIN | ACK), (IN, RST), (IN, SYN)];
        assert_eq!(after(&asked), (Phase::HalfClosed, word::RESET_IN));
        let anew = [&asked[..], &[(OUT, SYN | ACK)]].concat();
        assert_eq!(after(&anew), (Phase::Answered, 0));
        let both = [&anew[..], &[(IN, ACK), (OUT, FIN | ACK)]].concat();
        assert_eq!(after(&both), (Phase::HalfClosed, 0));
        // A challenge in answer to the SYN (RFC 5961).
        let challenged = [&asked[..], &[(OUT, ACK)]].concat();
        assert_eq!(after(&challenged), (Phase::HalfClosed, 0));
        // Both by the same side, or by the other.
        let forged = [(OUT, RST), (OUT, SYN | ACK)];
        assert_eq!(after(&forged), (Phase::Established, 0));
    }
}
