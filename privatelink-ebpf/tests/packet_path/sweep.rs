//! Silent flows end, in both directions; all others stay.

use crate::{
    gateway::{ACME, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, TARGET, VENDOR},
    packets::{ACK, FIN, RST, SYN, Transport},
};
use privatelink_common::{
    End, TargetState, UDP,
    flow::{Flow, REST_TICKS, word},
    ticks_from_millis,
};
use privatelink_ebpf::{Tables as _, flows::table::remove, sweep};

const SECOND: u32 = ticks_from_millis(1_000);

fn wait(gateway: &Gateway, ticks: u32) {
    gateway.tables.wait(ticks);
}

fn sweep_all(gateway: &Gateway) -> u32 {
    sweep(&gateway.tables, 0, gateway.tables.regions() + 5)
}

fn live(gateway: &Gateway) -> usize {
    gateway.tables.slots().iter().filter(|slot| slot.load().is_live()).count()
}

/// What user space has been told since the last call.
fn told(gateway: &Gateway) -> Vec<End> {
    std::mem::take(&mut gateway.tables.ends.lock().unwrap())
}

/// Asserts that the one flow is kept for about `seconds` of silence, and then ends.
fn assert_ends_after(gateway: &Gateway, seconds: u32) {
    wait(gateway, (seconds - 1) * SECOND);
    assert_eq!(sweep_all(gateway), 0);
    assert_eq!(live(gateway), 2);
    wait(gateway, 2 * SECOND);
    assert_eq!(sweep_all(gateway), 1);
    assert_eq!(live(gateway), 0);
    let in_use: u32 = (0..gateway.tables.regions())
        .map(|region| gateway.tables.region(region).unwrap().live.load())
        .sum();
    assert_eq!(in_use, 0);
}

/// A TCP flow after its handshake, and the source that it got.
fn established(gateway: &Gateway) -> std::net::SocketAddr {
    let source = gateway.open(Transport::Tcp(SYN, 5));
    let answer = gateway.target_packet(source, Transport::Tcp(SYN | ACK, 5));
    assert_eq!(gateway.run(VENDOR, &answer.bytes()).0, SEND_TO_CLIENT);
    let ack = gateway.client_packet(Transport::Tcp(ACK, 5));
    assert_eq!(gateway.verdict(&ack), SEND_TO_TARGET);
    source
}

fn with_idle(parties: &Parties, seconds: u32) -> Gateway {
    let mut gateway = Gateway::new(parties);
    for listener in gateway.tables.listeners.values_mut() {
        listener.idle_ticks = seconds * SECOND;
    }
    gateway
}

#[test]
fn an_opening_that_is_not_answered_ends_after_twenty_seconds() {
    for parties in Parties::both() {
        let gateway = with_idle(&parties, 350);
        gateway.open(Transport::Tcp(SYN, 5));
        assert_ends_after(&gateway, 20);
    }
}

#[test]
fn an_established_flow_ends_after_its_listeners_time() {
    for parties in Parties::both() {
        let gateway = with_idle(&parties, 60);
        established(&gateway);
        assert_ends_after(&gateway, 60);
        let gateway = with_idle(&parties, 60);
        gateway.open(Transport::Udp);
        assert_ends_after(&gateway, 60);
    }
}

#[test]
fn a_closed_flow_ends_after_ten_seconds() {
    for parties in Parties::both() {
        let gateway = with_idle(&parties, 350);
        established(&gateway);
        let reset = gateway.client_packet(Transport::Tcp(RST, 5));
        assert_eq!(gateway.verdict(&reset), SEND_TO_TARGET);
        assert_ends_after(&gateway, 10);
    }
}

#[test]
fn a_reset_is_forgotten_when_either_end_speaks() {
    for (parties, from_client) in
        Parties::both().into_iter().flat_map(|parties| [(parties.clone(), true), (parties, false)])
    {
        let gateway = with_idle(&parties, 60);
        let source = established(&gateway);
        let reset = gateway.client_packet(Transport::Tcp(RST, 5));
        assert_eq!(gateway.verdict(&reset), SEND_TO_TARGET);
        wait(&gateway, 8 * SECOND);
        if from_client {
            let more = gateway.client_packet(Transport::Tcp(ACK, 5));
            assert_eq!(gateway.verdict(&more), SEND_TO_TARGET);
        } else {
            let more = gateway.target_packet(source, Transport::Tcp(ACK, 5));
            assert_eq!(gateway.run(VENDOR, &more.bytes()).0, SEND_TO_CLIENT);
        }
        assert_ends_after(&gateway, 60);
    }
}

/// Anybody can forge an RST, and two hosts with nothing to say would lose their connection.
#[test]
fn the_other_end_is_asked_before_a_reset_of_a_silent_flow_is_believed() {
    for (parties, from_client) in
        Parties::both().into_iter().flat_map(|parties| [(parties.clone(), true), (parties, false)])
    {
        let gateway = with_idle(&parties, 60);
        let source = established(&gateway);
        if from_client {
            let reset = gateway.client_packet(Transport::Tcp(RST, 5));
            assert_eq!(gateway.verdict(&reset), SEND_TO_TARGET);
        } else {
            let reset = gateway.target_packet(source, Transport::Tcp(RST, 5));
            assert_eq!(gateway.run(VENDOR, &reset.bytes()).0, SEND_TO_CLIENT);
        }
        wait(&gateway, SECOND);
        assert_eq!((sweep_all(&gateway), told(&gateway)), (0, Vec::new()));
        wait(&gateway, 2 * SECOND);
        assert_eq!(sweep_all(&gateway), 0);
        let [asked] = &told(&gateway)[..] else { panic!("nobody is asked") };
        assert!(asked.is_doubted(), "{asked:?}");
        assert_eq!(asked.flow.word & word::RESET_IN != 0, from_client);
        assert_eq!(asked.target, gateway.tables.targets[&TARGET]);
        wait(&gateway, 2 * SECOND);
        assert_eq!((sweep_all(&gateway), told(&gateway)), (0, Vec::new()));
        // The end that was asked objects.
        if from_client {
            let answer = gateway.target_packet(source, Transport::Tcp(ACK, 5));
            assert_eq!(gateway.run(VENDOR, &answer.bytes()).0, SEND_TO_CLIENT);
        } else {
            let answer = gateway.client_packet(Transport::Tcp(ACK, 5));
            assert_eq!(gateway.verdict(&answer), SEND_TO_TARGET);
        }
        assert_ends_after(&gateway, 60);
    }
}

/// A target could hold its flows, and with them what its consumers may have, for ever.
#[test]
fn a_target_that_sends_datagrams_does_not_keep_the_flow() {
    for parties in Parties::both() {
        let gateway = with_idle(&parties, 60);
        let source = gateway.open(Transport::Udp);
        for _ in 0..5 {
            wait(&gateway, 10 * SECOND);
            let chatter = gateway.target_packet(source, Transport::Udp);
            assert_eq!(gateway.run(VENDOR, &chatter.bytes()).0, SEND_TO_CLIENT);
            assert_eq!(sweep_all(&gateway), 0);
        }
        let more = gateway.client_packet(Transport::Udp);
        assert_eq!(gateway.verdict(&more), SEND_TO_TARGET);
        for _ in 0..5 {
            wait(&gateway, 10 * SECOND);
            let chatter = gateway.target_packet(source, Transport::Udp);
            assert_eq!(gateway.run(VENDOR, &chatter.bytes()).0, SEND_TO_CLIENT);
            assert_eq!(sweep_all(&gateway), 0);
        }
        wait(&gateway, 11 * SECOND);
        let chatter = gateway.target_packet(source, Transport::Udp);
        assert_eq!(gateway.run(VENDOR, &chatter.bytes()).0, SEND_TO_CLIENT);
        assert_eq!(sweep_all(&gateway), 1);
        assert_eq!(live(&gateway), 0);
    }
}

#[test]
fn one_end_that_has_finished_does_not_shorten_the_others_time() {
    let gateway = with_idle(&Parties::v4(), 60);
    established(&gateway);
    let fin = gateway.client_packet(Transport::Tcp(FIN | ACK, 5));
    assert_eq!(gateway.verdict(&fin), SEND_TO_TARGET);
    assert_ends_after(&gateway, 60);
}

#[test]
fn a_packet_of_either_direction_keeps_the_flow() {
    for parties in Parties::both() {
        let gateway = with_idle(&parties, 60);
        let source = established(&gateway);
        for from_client in [true, false, false, true] {
            wait(&gateway, 50 * SECOND);
            assert_eq!(sweep_all(&gateway), 0);
            let (ifindex, packet) = if from_client {
                (ACME, gateway.client_packet(Transport::Tcp(ACK, 5)))
            } else {
                (VENDOR, gateway.target_packet(source, Transport::Tcp(ACK, 5)))
            };
            let expected = if from_client { SEND_TO_TARGET } else { SEND_TO_CLIENT };
            assert_eq!(gateway.run(ifindex, &packet.bytes()).0, expected);
        }
        assert_ends_after(&gateway, 60);
    }
}

#[test]
fn each_listeners_flows_have_its_time() {
    for parties in Parties::both() {
        let mut gateway = with_idle(&parties, 60);
        for (key, listener) in &mut gateway.tables.listeners {
            listener.idle_ticks =
                if key.protocol == u16::from(UDP) { 30 * SECOND } else { 60 * SECOND };
        }
        for port in 4_000..4_030 {
            gateway.parties.client.set_port(port);
            gateway.open(Transport::Udp);
            established(&gateway);
        }
        wait(&gateway, 45 * SECOND);
        assert_eq!((sweep_all(&gateway), live(&gateway)), (30, 60));
        assert!(
            gateway
                .tables
                .slots()
                .iter()
                .all(|slot| slot.load().protocol() != UDP || !slot.load().is_live())
        );
        wait(&gateway, 30 * SECOND);
        assert_eq!((sweep_all(&gateway), live(&gateway)), (30, 0));
    }
}

/// Its other direction could not be removed then, and the tuple is another flow's by now.
#[test]
fn a_direction_that_was_left_ends_alone() {
    let mut gateway = with_idle(&Parties::v4(), 60);
    gateway.open(Transport::Udp);
    let forward = |gateway: &Gateway| {
        let is = |flow: Flow| flow.is_live() && !flow.is_reverse();
        gateway.tables.slots().iter().position(|slot| is(slot.load())).unwrap() as u32
    };
    let index = forward(&gateway);
    let word = gateway.tables.slot(index).unwrap().word();
    assert!(remove(&gateway.tables, index, word));
    wait(&gateway, 2 * SECOND);
    let target = gateway.tables.targets[&TARGET];
    gateway.tables.targets.insert(TARGET + 1, target);
    gateway.tables.backends.insert(0, TARGET + 1);
    gateway.open(Transport::Udp);
    gateway.target().state = TargetState::Gone as u32;
    assert_eq!(sweep_all(&gateway), 1);
    assert_eq!(live(&gateway), 2);
    assert!(gateway.tables.ends.lock().unwrap().is_empty());
    let index = forward(&gateway);
    assert_eq!(gateway.tables.slot(index).unwrap().target(), TARGET + 1);
}

#[test]
fn a_tuple_can_be_used_anew_after_its_flow_has_ended() {
    let gateway = with_idle(&Parties::v4(), 60);
    gateway.open(Transport::Udp);
    assert_ends_after(&gateway, 60);
    wait(&gateway, REST_TICKS);
    gateway.open(Transport::Udp);
    assert_eq!(live(&gateway), 2);
}

#[test]
fn only_the_regions_in_question_are_swept() {
    let gateway = with_idle(&Parties::v4(), 60);
    gateway.open(Transport::Udp);
    wait(&gateway, 100 * SECOND);
    let regions = gateway.tables.regions();
    assert_eq!(sweep(&gateway.tables, regions, 1), 0);
    assert_eq!(sweep(&gateway.tables, 0, 0), 0);
    assert_eq!(live(&gateway), 2);
}
