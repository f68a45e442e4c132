//! The flow table against a model of it, and against itself from several threads.

use crate::gateway::{ENDPOINT, Gateway, Parties, TARGET};
use privatelink_common::{
    Addr, TCP,
    flow::{Content, REGION_LIMIT, REST_TICKS, word},
};
use privatelink_ebpf::{
    Tables,
    flows::table::{Arrival, NEAR, Taken, remove},
    wire::{Ip, Ipv4},
};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};

const WORD: u32 = (TCP as u32) << word::PROTOCOL_SHIFT;

/// A slot can be searched in at most half a region: with fewer in the way there is room.
const ROOM: usize = 128;

/// The tuple of the client's port.
fn arrival(gateway: &Gateway, port: u16) -> Arrival<Ipv4> {
    let word = |ip| Ipv4::from_addr(&Addr::from(ip));
    Arrival {
        network: 1,
        source: word(gateway.parties.client.ip()),
        destination: word(gateway.parties.endpoint.ip()),
        ports: ports(port, gateway.parties.endpoint.port()),
        protocol: TCP.into(),
    }
}

fn ports(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

fn content(gateway: &Gateway, port: u16) -> Content {
    Content {
        now: gateway.tables.now(),
        client: Addr::from(gateway.parties.client.ip()).words(),
        consumer_ports: ports(port, gateway.parties.endpoint.port()),
        provider_ports: ports(gateway.parties.target.port(), port),
        endpoint: ENDPOINT,
        target: TARGET,
        source: 20,
        client_mac_low: 1,
        client_mac_high: 1,
        l3_delta: 0,
        l4_delta: 0,
        reserved: 0,
    }
}

fn insert(gateway: &Gateway, port: u16) -> Result<u32, Taken> {
    arrival(gateway, port).insert(&gateway.tables, WORD, &content(gateway, port))
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u16),
    Remove(u16),
    Wait(u32),
}

fn op(keys: u16) -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..keys).prop_map(Op::Insert),
        4 => (0..keys).prop_map(Op::Remove),
        1 => (1..REST_TICKS).prop_map(Op::Wait),
    ]
}

/// What a table of one region ought to hold.
#[derive(Default)]
struct Model {
    slots: BTreeMap<u16, u32>,
    /// When each slot was freed.
    freed: BTreeMap<u32, u32>,
}

impl Model {
    fn resting(&self, now: u32) -> usize {
        self.freed.values().filter(|at| now - **at < REST_TICKS).count()
    }

    fn step(&mut self, gateway: &Gateway, op: &Op) -> Result<(), TestCaseError> {
        let now = gateway.tables.now();
        match *op {
            Op::Wait(ticks) => gateway.tables.wait(ticks),
            Op::Insert(port) => match insert(gateway, port) {
                Ok(slot) => {
                    prop_assert_eq!(self.slots.insert(port, slot), None, "entered twice");
                    let freed = self.freed.remove(&slot);
                    prop_assert!(freed.is_none_or(|at| now - at >= REST_TICKS), "no rest");
                }
                Err(Taken::Exists) => prop_assert!(self.slots.contains_key(&port)),
                Err(Taken::Full) => {
                    let used = gateway.tables.region(0).unwrap().live.load();
                    let in_the_way = self.slots.len() + self.resting(now);
                    prop_assert!(
                        in_the_way >= ROOM || used >= REGION_LIMIT,
                        "refused with {in_the_way} slots live or resting, {used} in use"
                    );
                }
                Err(Taken::Contended) => prop_assert!(false, "nobody else is there"),
            },
            Op::Remove(port) => {
                if let Some(slot) = self.slots.remove(&port) {
                    prop_assert!(remove(&gateway.tables, slot, WORD | word::LIVE));
                    self.freed.insert(slot, now);
                    prop_assert!(!remove(&gateway.tables, slot, WORD | word::LIVE), "twice");
                }
            }
        }
        Ok(())
    }

    fn check(&self, gateway: &Gateway, keys: u16) -> Result<(), TestCaseError> {
        for port in 0..keys {
            let expected = self.slots.get(&port).copied();
            let arrival = arrival(gateway, port);
            prop_assert_eq!(arrival.search(&gateway.tables), expected);
            let near = arrival.find(&gateway.tables, NEAR).map(|found| found.index);
            prop_assert!(near.is_none() || near == expected);
        }
        let live = gateway.tables.slots().iter().filter(|slot| slot.load().is_live()).count();
        prop_assert_eq!(live, self.slots.len());
        prop_assert_eq!(gateway.tables.region(0).unwrap().live.load(), live as u32);
        Ok(())
    }
}

fn agree(keys: u16, ops: &[Op]) -> Result<(), TestCaseError> {
    let gateway = Gateway::new(&Parties::v4());
    assert_eq!(gateway.tables.regions(), 1);
    let mut model = Model::default();
    for (number, op) in ops.iter().enumerate() {
        model.step(&gateway, op)?;
        if number % 16 == 0 {
            model.check(&gateway, keys)?;
        }
    }
    model.check(&gateway, keys)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_easy_region_agrees_with_its_model(ops in vec(op(60), 1..400)) {
        agree(60, &ops)?;
    }

    #[test]
    fn a_crowded_region_agrees_with_its_model(ops in vec(op(400), 200..1200)) {
        agree(400, &ops)?;
    }
}

/// Room that rests must not stand in the way of room that does not.
#[test]
fn a_tuple_can_be_entered_again_at_once_after_its_removal() {
    let gateway = Gateway::new(&Parties::v4());
    let slot = insert(&gateway, 1).unwrap();
    assert!(remove(&gateway.tables, slot, WORD | word::LIVE));
    let again = insert(&gateway, 1);
    assert!(matches!(again, Ok(other) if other != slot), "{again:?}");
    assert_eq!(arrival(&gateway, 1).search(&gateway.tables), again.ok());
}

#[test]
fn a_region_takes_no_more_than_its_limit() {
    let gateway = Gateway::new(&Parties::v4());
    let entered = (0..1000).filter(|port| insert(&gateway, *port).is_ok()).count();
    assert_eq!(entered, REGION_LIMIT as usize);
    assert_eq!(gateway.tables.region(0).unwrap().live.load(), REGION_LIMIT);
}

/// Flows come and go for long in a table filled as it was sized for: none is refused.
#[test]
fn steady_traffic_at_the_size_of_the_table_is_never_refused() {
    let gateway = Gateway::with_room_for(&Parties::v4(), 6_000);
    let mut live: Vec<(u16, u32)> = Vec::new();
    let (mut next, mut random, mut refused) = (0_u16, 1_u64, 0);
    for round in 0..200_000_u32 {
        if live.len() >= 12_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (random >> 33) as usize % live.len();
            let (_, slot) = live.swap_remove(at);
            assert!(remove(&gateway.tables, slot, WORD | word::LIVE));
        }
        // The whole table turns over in twenty seconds.
        if round % 600 == 0 {
            gateway.tables.wait(REST_TICKS);
        }
        while arrival(&gateway, next).search(&gateway.tables).is_some() {
            next = next.wrapping_add(1);
        }
        match insert(&gateway, next) {
            Ok(slot) => live.push((next, slot)),
            Err(_) => refused += 1,
        }
        next = next.wrapping_add(1);
    }
    assert_eq!(refused, 0);
}

#[test]
fn threads_that_race_for_a_tuple_enter_it_once() {
    const THREADS: u32 = 4;
    let gateway = Gateway::with_room_for(&Parties::v4(), 5_000);
    let entered = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for port in 0..5_000 {
                    loop {
                        match insert(&gateway, port) {
                            Ok(_) => drop(entered.fetch_add(1, SeqCst)),
                            Err(Taken::Contended) => {
                                thread::yield_now();
                                continue;
                            }
                            Err(Taken::Exists) => {}
                            Err(Taken::Full) => panic!("full at {port}"),
                        }
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(entered.load(SeqCst), 5_000);
    let slots: BTreeSet<_> =
        (0..5_000).map(|port| arrival(&gateway, port).search(&gateway.tables).unwrap()).collect();
    assert_eq!(slots.len(), 5_000);
    let live = gateway.tables.slots().iter().filter(|slot| slot.load().is_live()).count();
    assert_eq!(live, 5_000);
}
