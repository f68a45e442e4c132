//! Confirms symptoms of a target from the flow table: whose flows to it are not answered.
//!
//! Counters of a target do not say who opened the flows, and one client can leave any number of them
//! unanswered (Linux ignores a SYN with TCP's MD5 option). So counters only cause a look at the flow
//! table: a target is suspect if the flows of several parties are unanswered there, or if no other
//! party has a live flow to it.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_common::{
    flow::{Flow, Phase},
    ticks_from_millis,
};

/// Number of endpoints, and of hosts, with unanswered flows that makes a target suspect.
const ENDPOINTS: usize = 2;
/// Number of clients with unanswered flows that makes a target suspect, even at one endpoint.
const CLIENTS: usize = 3;
/// A flow younger than this may still be answered.
const TIME_TO_ANSWER: u32 = ticks_from_millis(200);
/// The number of TCP, and the flags of a flow as [`Flow::tcp_flags`] has them.
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// A client at an endpoint.
type Party = (u16, [u8; 16]);

/// Parties of one target, by whether it answers them.
#[derive(Debug, Default)]
struct Parties {
    unanswered: BTreeSet<Party>,
    served: BTreeSet<Party>,
}

impl Parties {
    /// Whether the unanswered ones suffice to suspect the target.
    fn suffice(&self) -> bool {
        let endpoints: BTreeSet<u16> = self.unanswered.iter().map(|(at, _)| *at).collect();
        // One host may be the client of two endpoints of its network.
        let hosts: BTreeSet<[u8; 16]> = self.unanswered.iter().map(|(_, host)| *host).collect();
        let apart = endpoints.len() >= ENDPOINTS && hosts.len() >= ENDPOINTS;
        let several = apart || self.unanswered.len() >= CLIENTS;
        several || (!self.unanswered.is_empty() && self.served.is_subset(&self.unanswered))
    }
}

/// Returns those of `targets`, by index, whose symptoms enough parties confirm. `flows` are all slots of the flow
/// table, `now` is the datapath's time in ticks.
pub fn vouched_for(
    targets: &BTreeSet<u32>,
    flows: impl Iterator<Item = Flow>,
    now: u32,
) -> BTreeSet<u32> {
    let mut parties = BTreeMap::<u32, Parties>::new();
    // The slot of the direction from the target shows what the target has answered.
    for flow in flows.filter(|flow| flow.is_reverse() && targets.contains(&flow.target())) {
        let of_target = parties.entry(flow.target()).or_default();
        let party = (flow.endpoint, flow.client.0);
        match is_answered(&flow, now) {
            Some(true) => of_target.served.insert(party),
            Some(false) => of_target.unanswered.insert(party),
            None => false,
        };
    }
    parties.into_iter().filter(|(_, one)| one.suffice()).map(|(target, _)| target).collect()
}

/// Whether the target has answered a flow; `None` if that is not known yet, or no longer matters.
fn is_answered(flow: &Flow, now: u32) -> Option<bool> {
    let had_time = now.wrapping_sub(flow.opened) >= TIME_TO_ANSWER;
    let (answered, refused) = if flow.protocol() == TCP {
        (flow.tcp_flags() & SYN != 0, flow.tcp_flags() & RST != 0)
    } else {
        (flow.packets != 0, false)
    };
    if answered {
        return (Phase::of(flow.word) != Phase::Closing).then_some(true);
    }
    (refused || had_time).then_some(false)
}

#[cfg(test)]
mod tests {
    use privatelink_common::{Addr, flow::word};

    use super::*;

    const NOW: u32 = 10_000;
    const TARGET: u16 = 7;

    /// The target's direction of a client's flow.
    fn flow(endpoint: u16, client: u8, flags: u8) -> Flow {
        let word = word::LIVE
            | word::REVERSE
            | u32::from(TCP) << word::PROTOCOL_SHIFT
            | u32::from(flags) << word::FLAGS_SHIFT
            | if flags & SYN == 0 { Phase::Opening } else { Phase::Established }.bits();
        let client = Addr::v4([10, 1, 0, client]);
        let opened = NOW - TIME_TO_ANSWER;
        Flow { word, endpoint, client, opened, target: TARGET, ..Flow::default() }
    }

    fn is_vouched_for(flows: &[Flow]) -> bool {
        let targets = BTreeSet::from([TARGET.into()]);
        !vouched_for(&targets, flows.iter().copied(), NOW).is_empty()
    }

    #[test]
    fn one_client_makes_no_target_suspect_while_others_are_served() {
        let served = flow(2, 9, SYN);
        let many = [flow(1, 1, 0); 100];
        assert!(!is_vouched_for(&[&many[..], &[served]].concat()));
        assert!(!is_vouched_for(&[flow(1, 1, 0), flow(1, 2, 0), served]), "two are not several");
        assert!(!is_vouched_for(&[flow(1, 1, RST), served]), "nor is a refusal");
        let mut ended = served;
        ended.word = ended.word & !word::PHASE | Phase::Closing.bits();
        assert!(is_vouched_for(&[flow(1, 1, 0), ended]), "a flow that has ended cannot be lost");
    }

    #[test]
    fn several_clients_or_two_endpoints_make_a_target_suspect() {
        let served = flow(3, 9, SYN);
        assert!(is_vouched_for(&[flow(1, 1, 0), flow(2, 2, 0), served]));
        assert!(!is_vouched_for(&[flow(1, 1, 0), flow(2, 1, 0), served]), "it may be one host");
        assert!(is_vouched_for(&[flow(1, 1, 0), flow(1, 2, RST), flow(1, 3, 0), served]));
    }

    #[test]
    fn the_only_party_of_a_target_makes_it_suspect() {
        assert!(!is_vouched_for(&[]));
        assert!(is_vouched_for(&[flow(1, 1, 0)]));
        assert!(is_vouched_for(&[flow(1, 1, SYN), flow(1, 1, RST)]));
    }

    #[test]
    fn a_flow_needs_time_to_be_answered() {
        let young = Flow { opened: NOW, ..flow(1, 1, 0) };
        assert!(!is_vouched_for(&[young]));
        assert!(is_vouched_for(&[Flow { opened: NOW, ..flow(1, 1, RST) }]));
    }

    #[test]
    fn flows_to_other_targets_say_nothing() {
        assert!(!is_vouched_for(&[Flow { target: 8, ..flow(1, 1, 0) }]));
        let forward = Flow { word: flow(1, 1, 0).word & !word::REVERSE, ..flow(1, 1, 0) };
        assert!(!is_vouched_for(&[forward]));
    }
}
