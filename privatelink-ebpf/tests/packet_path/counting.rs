//! What is counted at targets and endpoints, and what user space is told of flows.

use crate::{
    gateway::{
        ACME_MAC, ENDPOINT, GLOBEX, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, TARGET,
        VENDOR,
    },
    packets::{ACK, FIN, Packet, RST, SYN, Transport},
};
use privatelink_common::{
    Admission, EndCause, EndpointCounters, Reason, RefusedFlow, Sampling, TargetCounters,
    flow::{Flow, Slot},
    ticks_from_millis,
};
use privatelink_ebpf::{Tables as _, Verdict, sweep};
use std::net::SocketAddr;

fn target(gateway: &Gateway) -> TargetCounters {
    gateway.tables.target_counters.lock().unwrap().get(&TARGET).copied().unwrap_or_default()
}

fn endpoint(gateway: &Gateway) -> EndpointCounters {
    gateway.tables.counters.lock().unwrap().get(&ENDPOINT).copied().unwrap_or_default()
}

fn refused(gateway: &Gateway) -> Vec<RefusedFlow> {
    gateway.tables.refused.lock().unwrap().clone()
}

fn reply(gateway: &Gateway, source: SocketAddr, flags: u8) {
    let packet = gateway.target_packet(source, Transport::Tcp(flags, 5));
    assert_eq!(gateway.run(VENDOR, &packet.bytes()).0, SEND_TO_CLIENT);
}

fn request(gateway: &Gateway, flags: u8) {
    assert_eq!(gateway.verdict(&gateway.client_packet(Transport::Tcp(flags, 5))), SEND_TO_TARGET);
}

#[test]
fn a_target_that_refuses_is_told_from_one_that_answers_and_one_that_is_silent() {
    for parties in Parties::both() {
        let silent = Gateway::new(&parties);
        silent.open(Transport::Tcp(SYN, 5));
        let expected = TargetCounters { opened: 1, ..TargetCounters::default() };
        assert_eq!(target(&silent), expected);

        let refusing = Gateway::new(&parties);
        let source = refusing.open(Transport::Tcp(SYN, 5));
        reply(&refusing, source, RST | ACK);
        let expected = TargetCounters { refused: 1, resets: 1, ..expected };
        assert_eq!(target(&refusing), expected);
        assert_eq!((endpoint(&refusing).resets_in, endpoint(&refusing).resets_out), (0, 1));

        let answering = Gateway::new(&parties);
        let source = answering.open(Transport::Tcp(SYN, 5));
        reply(&answering, source, SYN | ACK);
        reply(&answering, source, SYN | ACK);
        request(&answering, ACK);
        request(&answering, RST);
        let expected = TargetCounters { opened: 1, answered: 1, ..TargetCounters::default() };
        assert_eq!(target(&answering), expected, "an answer that is repeated is one answer");
        assert_eq!((endpoint(&answering).resets_in, endpoint(&answering).resets_out), (1, 0));
    }
}

#[test]
fn what_ends_is_told_once_and_counted_at_its_target() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Tcp(SYN, 5));
        reply(&gateway, source, SYN | ACK);
        request(&gateway, ACK);
        request(&gateway, FIN | ACK);
        reply(&gateway, source, FIN | ACK);
        let last = gateway.tables.now();
        gateway.tables.wait(ticks_from_millis(11_000));
        sweep(&gateway.tables, 0, gateway.tables.regions());
        sweep(&gateway.tables, 0, gateway.tables.regions());
        let ends = gateway.tables.ends.lock().unwrap().clone();
        let [end] = &ends[..] else { panic!("{ends:?}") };
        assert_eq!(EndCause::of(end.cause), Some(EndCause::Closed));
        assert_eq!((end.last_seen, end.flow.last_seen), (last, last), "not when it was removed");
        assert!(end.flow.is_live() && !end.flow.is_reverse());
        let counted = endpoint(&gateway);
        let through =
            (counted.packets_in, counted.bytes_in, counted.packets_out, counted.bytes_out);
        assert_eq!((through.0, through.2), (3, 2));
        let told = (end.flow.packets.into(), end.flow.bytes, end.packets_out.into(), end.bytes_out);
        assert_eq!(told, through);
        let target = target(&gateway);
        assert_eq!((target.opened, target.ended), (1, 1));
        let at_target = (target.packets_in, target.bytes_in, target.packets_out, target.bytes_out);
        assert_eq!(at_target, through);
    }
}

/// The other flow may go elsewhere: the listener has another target by then.
#[test]
fn a_client_that_uses_its_tuple_anew_has_another_flow() {
    const OTHER: u32 = TARGET + 1;
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Tcp(SYN, 5));
        reply(&gateway, source, RST | ACK);
        let target = gateway.tables.targets[&TARGET];
        gateway.tables.targets.insert(OTHER, target);
        gateway.tables.backends.insert(0, OTHER);
        gateway.open(Transport::Tcp(SYN, 5));
        let ends = gateway.tables.ends.lock().unwrap().clone();
        let [end] = &ends[..] else { panic!("{ends:?}") };
        assert_eq!(EndCause::of(end.cause), Some(EndCause::Closed));
        assert_eq!((end.flow.target(), end.flow.packets, end.packets_out), (TARGET, 1, 1));
        let live: Vec<_> =
            gateway.tables.slots().iter().map(Slot::load).filter(Flow::is_live).collect();
        assert_eq!(live.iter().map(Flow::target).collect::<Vec<_>>(), [OTHER, OTHER]);
        assert_eq!(endpoint(&gateway).new_flows, 2);
    }
}

fn assert_refused(gateway: &Gateway, packet: &Packet, reason: Reason) {
    let Verdict::Drop(why) = gateway.verdict(packet) else { panic!("it goes on") };
    assert_eq!((why.reason, why.endpoint), (reason, Some(ENDPOINT)));
}

#[test]
fn a_refused_flow_is_told_with_who_and_why() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        gateway.admit(Admission::Rejected);
        assert_refused(&gateway, &gateway.syn(), Reason::Rejected);
        let told = refused(&gateway);
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!(told.client, parties.client.ip().into());
        assert_eq!(told.address, parties.endpoint.ip().into());
        let ports = [parties.client.port().to_be_bytes(), parties.endpoint.port().to_be_bytes()];
        assert_eq!(told.ports.to_ne_bytes(), *ports.as_flattened());
        assert_eq!((told.protocol, told.endpoint), (6, ENDPOINT));
        assert_eq!(Reason::of(told.reason), Some(Reason::Rejected));
        assert_eq!(told.tick, gateway.tables.now());
        assert_eq!(endpoint(&gateway).answers, 1);
    }
}

#[test]
fn what_belongs_to_no_flow_is_no_refused_flow() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let middle = gateway.client_packet(Transport::Tcp(ACK, 5));
        assert_refused(&gateway, &middle, Reason::NoFlow);
        gateway.admit(Admission::Rejected);
        assert_refused(&gateway, &middle, Reason::Rejected);
        assert_eq!(refused(&gateway), []);
    }
}

#[test]
fn a_flood_of_refused_flows_is_told_of_in_part() {
    let mut gateway = Gateway::new(&Parties::v4());
    gateway.admit(Admission::Pending);
    for _ in 0..Sampling::REFUSED_FLOWS * 3 {
        assert_refused(&gateway, &gateway.syn(), Reason::Pending);
    }
    assert_eq!(refused(&gateway).len(), Sampling::REFUSED_FLOWS as usize);
    gateway.tables.wait(1);
    assert_refused(&gateway, &gateway.syn(), Reason::Pending);
    assert_eq!(refused(&gateway).len(), Sampling::REFUSED_FLOWS as usize + 1);
}

#[test]
fn a_flood_of_one_network_leaves_the_samples_of_another() {
    let parties = Parties::v4();
    let mut gateway = Gateway::new(&parties);
    gateway.add_endpoint(8, GLOBEX, parties.endpoint.ip(), ACME_MAC);
    for index in [ENDPOINT, 8] {
        let endpoint = gateway.tables.endpoints.get_mut(&index).unwrap();
        endpoint.admission = Admission::Pending as u32;
    }
    for _ in 0..Sampling::REFUSED_FLOWS * 3 {
        assert_refused(&gateway, &gateway.syn(), Reason::Pending);
    }
    let (verdict, _) = gateway.run(GLOBEX, &gateway.syn().bytes());
    assert!(matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
    assert_eq!(refused(&gateway).last().map(|one| one.endpoint), Some(8));
}
