use std::collections::BTreeMap;

use privatelink_common::ListenerKey;
use proptest::prelude::*;

use super::*;
use crate::{
    config,
    host::HostFacts,
    state::{
        State,
        targets::{Condition, Health, checked},
    },
    timestamp::Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// A service `web` with these targets, `ADDRESS=WEIGHT`, and whatever else is said of it.
fn model(targets: &[&str], rules: &str) -> Model {
    let mut text = "[gateway]\nname = \"gw\"\n\
                    [[network]]\nname = \"vendor\"\nprincipal = \"vendor\"\ninterface = \"eth0\"\n\
                    subnets = [\"10.0.0.0/16\", \"fd00::/64\"]\n\
                    [[service]]\nname = \"web\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
                    source_addresses = [\"10.0.9.240/29\", \"fd00::f0/125\"]\n"
        .to_owned();
    text += rules;
    text += "\n[[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
             [[service.listener]]\nprotocol = \"tcp\"\nport = 443\n";
    for target in targets {
        let (address, weight) = target.split_once('=').unwrap();
        text += &format!("[[service.target]]\naddress = \"{address}\"\nweight = {weight}\n");
    }
    config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}")).model
}

/// A gateway that goes from one configuration to the next.
#[derive(Default)]
struct Gateway {
    state: State,
    pools: Pools,
    tables: MapTables,
}

impl Gateway {
    fn follow(&mut self, model: &Model) {
        let inputs = self.state.inputs.clone();
        self.state.follow(model, &HostFacts::default(), &inputs, NOW).unwrap();
        self.arrange(model);
    }

    fn arrange(&mut self, model: &Model) {
        let (ids, inputs) = (&self.state.ids, &self.state.inputs);
        let full = self.pools.arrange(model, ids, inputs, &self.tables);
        assert_eq!(full, []);
        // As the maps would hold it.
        self.tables = MapTables::default();
        for service in model.services().values() {
            let index = ids.service(service).unwrap();
            self.tables.backends.extend(self.pools.entries(index));
            for (listener, pools) in service.listeners.iter().zip(self.pools.of(index)) {
                let port = listener.ports.first().get().to_be();
                let key = ListenerKey { service: index, port, protocol: 6 };
                let [backends_v4, backends_v6] = *pools;
                let record = privatelink_common::Listener {
                    backends_v4,
                    backends_v6,
                    ..privatelink_common::Listener::default()
                };
                self.tables.listeners.insert(key, record);
            }
        }
    }

    fn set_health(&mut self, address: &str, port: u16, health: Health) {
        let address = address.parse().unwrap();
        for (key, condition) in &mut self.state.inputs.health {
            if (key.address, key.port) == (address, port) {
                *condition = Condition { health, since: NOW, reason: "for the test".into() };
            }
        }
    }

    /// How many places each target has in the pool of a listener for clients of a family.
    fn shares(&self, model: &Model, listener: usize, family: usize) -> BTreeMap<String, u32> {
        let service = &model.services()["web"];
        let index = self.state.ids.service(service).unwrap();
        let pool = self.pools.of(index)[listener][family];
        let mut shares = BTreeMap::new();
        for place in pool.first..pool.first + pool.count {
            let target = self.tables.backends[&place];
            let known =
                self.state.ids.targets().find(|(_, _, address)| {
                    self.state.ids.target(service, *address) == Some(target)
                });
            *shares.entry(known.unwrap().2.to_string()).or_default() += 1;
        }
        shares
    }
}

fn names(shares: &BTreeMap<String, u32>) -> Vec<&str> {
    shares.keys().map(String::as_str).collect()
}

#[test]
fn listeners_with_the_same_targets_share_a_table() {
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=100", "10.0.0.2=50", "fd00::1=1", "10.0.0.3=0"], "");
    gateway.follow(&model);
    let (v4, v6) = (gateway.shares(&model, 0, 0), gateway.shares(&model, 0, 1));
    assert_eq!(v4.values().sum::<u32>(), 509);
    assert_eq!((v4["10.0.0.1"], v4["10.0.0.2"]), (339, 170));
    assert_eq!(v6, BTreeMap::from([("fd00::1".to_owned(), 1)]));
    let index = gateway.state.ids.service(&model.services()["web"]).unwrap();
    let [http, https] = gateway.pools.of(index) else { panic!() };
    assert_eq!(http, https);
    assert_eq!(gateway.tables.backends.len(), 510);
}

#[test]
fn where_a_family_has_no_target_the_other_serves_its_clients() {
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=100"], "");
    gateway.follow(&model);
    assert_eq!(gateway.shares(&model, 0, 1), gateway.shares(&model, 0, 0));
    assert_eq!(names(&gateway.shares(&model, 0, 1)), ["10.0.0.1"]);
}

#[test]
fn only_healthy_targets_take_new_flows() {
    let check = "health_check = { protocol = \"tcp\" }";
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=100", "10.0.0.2=100"], check);
    gateway.follow(&model);
    assert_eq!(checked(&model, &gateway.state.inputs).len(), 4);
    assert!(gateway.shares(&model, 0, 0).is_empty(), "nobody is known to be well");
    gateway.set_health("10.0.0.2", 80, Health::Healthy);
    gateway.arrange(&model);
    assert_eq!(gateway.shares(&model, 0, 0), BTreeMap::from([("10.0.0.2".to_owned(), 1)]));
    assert!(gateway.shares(&model, 1, 0).is_empty(), "the other port is another matter");
    gateway.set_health("10.0.0.1", 80, Health::Healthy);
    gateway.arrange(&model);
    assert_eq!(names(&gateway.shares(&model, 0, 0)), ["10.0.0.1", "10.0.0.2"]);
    gateway.set_health("10.0.0.2", 80, Health::Unhealthy);
    gateway.arrange(&model);
    assert_eq!(names(&gateway.shares(&model, 0, 0)), ["10.0.0.1"]);
}

#[test]
fn a_service_that_fails_open_uses_whom_it_has() {
    let rules = "fail_open = true\nhealth_check = { protocol = \"tcp\", port = 9 }";
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=100", "10.0.0.2=100", "10.0.0.3=0"], rules);
    gateway.follow(&model);
    assert_eq!(names(&gateway.shares(&model, 0, 0)), ["10.0.0.1", "10.0.0.2"]);
    gateway.set_health("10.0.0.2", 9, Health::Healthy);
    gateway.arrange(&model);
    assert_eq!(names(&gateway.shares(&model, 1, 0)), ["10.0.0.2"]);
    gateway.set_health("10.0.0.2", 9, Health::Unhealthy);
    gateway.arrange(&model);
    assert_eq!(names(&gateway.shares(&model, 0, 0)), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn the_places_of_others_stay_when_a_target_falls_ill() {
    let check = "health_check = { protocol = \"tcp\", port = 9 }";
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=1", "10.0.0.2=1", "10.0.0.3=1", "10.0.0.4=1"], check);
    gateway.follow(&model);
    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        gateway.set_health(address, 9, Health::Healthy);
    }
    gateway.arrange(&model);
    let index = gateway.state.ids.service(&model.services()["web"]).unwrap();
    let of = |gateway: &Gateway| -> Vec<u32> {
        let pool = gateway.pools.of(index)[0][0];
        (pool.first..pool.first + pool.count).map(|n| gateway.tables.backends[&n]).collect()
    };
    let before = of(&gateway);
    gateway.set_health("10.0.0.3", 9, Health::Unhealthy);
    gateway.arrange(&model);
    let after = of(&gateway);
    assert_eq!(before.len(), after.len());
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(moved * 100 < before.len() * 28, "{moved} of {} places moved", before.len());
}

#[test]
fn tables_stay_where_they_are_over_reloads_and_restarts() {
    let targets = ["10.0.0.1=1", "10.0.0.2=1"];
    let mut gateway = Gateway::default();
    gateway.follow(&model(&targets, ""));
    gateway.follow(&model(&["10.0.0.7=1", "10.0.0.8=1"], ""));
    let moved = gateway.tables.clone();
    assert_eq!(moved.backends.keys().next(), Some(&251), "the first place was still in use");
    gateway.follow(&model(&["10.0.0.7=1", "10.0.0.8=1"], "fail_open = true"));
    assert_eq!(gateway.tables, moved);
    // A daemon that starts knows only what the maps hold.
    gateway.pools = Pools::default();
    gateway.follow(&model(&["10.0.0.7=1", "10.0.0.8=1"], ""));
    assert_eq!(gateway.tables, moved);
}

#[test]
fn what_finds_no_room_is_shorter_and_at_last_is_named() {
    let mut gateway = Gateway::default();
    let model = model(&["10.0.0.1=1", "10.0.0.2=1"], "");
    gateway.follow(&model);
    let taken = |count| {
        let mut actual = MapTables::default();
        let whole = privatelink_common::Listener {
            backends_v4: Pool { first: 0, count },
            ..privatelink_common::Listener::default()
        };
        actual.listeners.insert(ListenerKey { service: 77, port: 1, protocol: 6 }, whole);
        actual
    };
    let arrange = |count| {
        let mut pools = Pools::default();
        let (ids, inputs) = (&gateway.state.ids, &gateway.state.inputs);
        let full = pools.arrange(&model, ids, inputs, &taken(count));
        (pools.of(1)[0][0], full.iter().map(NoRoom::to_string).collect::<Vec<_>>())
    };
    let most = maps::MAX_BACKENDS;
    assert_eq!(arrange(most - 130), (Pool { first: most - 130, count: 127 }, vec![]));
    let (pool, full) = arrange(most - 20);
    assert_eq!((pool, full.len()), (Pool::default(), 1));
    assert!(full[0].contains("targets of the service `web`"), "{full:?}");
}

#[test]
fn many_services_get_fewer_places_each() {
    let services = |count: u32, targets: u32| {
        let mut text = "[gateway]\nname = \"gw\"\n\
                        [[network]]\nname = \"vendor\"\nprincipal = \"vendor\"\n\
                        interface = \"eth0\"\nsubnets = [\"10.0.0.0/16\"]\n"
            .to_owned();
        for number in 0..count {
            text += &format!(
                "[[service]]\nname = \"s{number}\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
                 source_addresses = [\"10.0.9.240/29\"]\n\
                 [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n"
            );
            for target in 0..targets {
                text += &format!("[[service.target]]\naddress = \"10.0.0.{}\"\n", target + 1);
            }
        }
        config::from_text("test.toml", &text).unwrap().model
    };
    for (count, targets, expected) in
        [(10, 3, PLACES), (5_000, 1, PLACES), (5_000, 2, PLACES / 4), (10_000, 2, PLACES / 8)]
    {
        let model = services(count, targets);
        assert_eq!(places(&model, &Inputs::default()), expected, "{count} with {targets}");
        let mut gateway = Gateway::default();
        gateway.follow(&model);
        assert!(gateway.tables.backends.len() as u32 <= maps::MAX_BACKENDS / 2);
    }
}

/// Targets with weights, and who is well.
fn situation() -> impl Strategy<Value = (Vec<String>, Vec<bool>)> {
    let targets = prop::collection::btree_map(1..9_u8, 0..4_u32, 1..6);
    let texts = targets.prop_map(|all| {
        all.into_iter().map(|(host, weight)| format!("10.0.0.{host}={weight}")).collect()
    });
    (texts, prop::collection::vec(any::<bool>(), 12))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever comes after whatever: no place of the maps gets other content while a listener
    /// refers to it.
    #[test]
    fn no_range_that_is_referred_to_changes(history in prop::collection::vec(situation(), 2..8)) {
        let mut gateway = Gateway::default();
        for (targets, well) in history {
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            let model = model(&targets, "health_check = { protocol = \"tcp\" }");
            let before = gateway.tables.clone();
            let known = gateway.state.inputs.clone();
            gateway.state.follow(&model, &HostFacts::default(), &known, NOW).unwrap();
            let conditions = gateway.state.inputs.health.values_mut();
            for (condition, well) in conditions.zip(well) {
                condition.health = if well { Health::Healthy } else { Health::Unhealthy };
            }
            gateway.arrange(&model);
            for listener in before.listeners.values() {
                let pool = listener.backends_v4;
                for place in pool.first..pool.first + pool.count {
                    let now = gateway.tables.backends.get(&place);
                    prop_assert!(now.is_none() || now == before.backends.get(&place), "{place}");
                }
            }
        }
    }
}
