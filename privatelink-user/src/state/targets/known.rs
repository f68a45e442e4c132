//! The targets of a service as they are known now, wherever their addresses come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::inputs::{Health, Inputs, Listed, TargetKey};
use crate::model::{
    DnsName, HealthCheck, Listener, Model, Name, Port, PortRange, Service, Target, TargetAddress,
    Weight,
};

/// A target as one listener leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind<'a> {
    /// Its share of new flows, within its group if the listener has groups.
    pub weight: Weight,
    /// Its ports.
    pub ports: PortRange,
    /// Its group.
    pub group: Option<&'a Name>,
}

/// What is known of a target that listeners share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    weight: Weight,
    port: Option<Port>,
    group: Option<&'a Name>,
}

/// All targets of a service, each address once.
pub fn addresses(service: &Service, inputs: &Inputs) -> BTreeMap<IpAddr, Weight> {
    let shared = shared(service, inputs).into_iter();
    let mut all: BTreeMap<IpAddr, Weight> =
        shared.map(|(address, one)| (address, one.weight)).collect();
    for target in service.listeners.iter().filter_map(|listener| listener.target.as_ref()) {
        for address in at(service, target, inputs) {
            // A target of one listener alone has weight there, even if it has none elsewhere.
            let weight = all.entry(address).or_insert(Target::DEFAULT_WEIGHT);
            if weight.get() == 0 {
                *weight = Target::DEFAULT_WEIGHT;
            }
        }
    }
    all
}

/// The targets that a service's listeners share, each address once. An address in the
/// configuration wins over one in a file, and that over one that a name resolves to.
fn shared<'a>(service: &'a Service, inputs: &'a Inputs) -> BTreeMap<IpAddr, Shared<'a>> {
    let mut found = BTreeMap::new();
    let given = |target: &'a Target| Shared {
        weight: target.weight,
        port: target.port,
        group: target.group.as_ref(),
    };
    for target in &service.targets {
        if let TargetAddress::Ip(address) = target.address {
            found.insert(address, given(target));
        }
    }
    for listed in inputs.listed.get(&service.name).into_iter().flatten() {
        let Listed { address, weight, port, ref group } = *listed;
        let group = group.as_ref();
        found.entry(address).or_insert(Shared { weight, port, group });
    }
    for target in &service.targets {
        if let TargetAddress::Dns(name) = &target.address {
            for address in resolved(service, name, inputs) {
                found.entry(*address).or_insert(given(target));
            }
        }
    }
    // The configuration has no other, but lists of targets may: one port stands for no range, and
    // what a map leads to has the map's.
    let is_one = |listener: &Listener| listener.target.is_some() || listener.ports.len() == 1;
    let has_ranges = !service.listeners.iter().all(is_one);
    for target in service.listeners.iter().filter_map(|listener| listener.target.as_ref()) {
        for address in at(service, target, inputs) {
            found.entry(address).and_modify(|one| one.port = None);
        }
    }
    if has_ranges {
        found.values_mut().for_each(|one| one.port = None);
    }
    found
}

/// The ports of targets that have one of their own.
pub fn own_ports(service: &Service, inputs: &Inputs) -> BTreeMap<IpAddr, Port> {
    let all = shared(service, inputs).into_iter();
    all.filter_map(|(address, one)| Some((address, one.port?))).collect()
}

/// Every target that has to be checked, and its health check.
pub fn checked<'a>(model: &'a Model, inputs: &Inputs) -> BTreeMap<TargetKey, &'a HealthCheck> {
    let mut all = BTreeMap::new();
    for service in model.services().values() {
        let Some(check) = &service.health_check else { continue };
        for listener in &service.listeners {
            for (address, one) in behind(service, listener, inputs) {
                all.insert(key(service, check, one.ports, address), check);
            }
        }
    }
    all
}

/// The addresses of a service's targets, each with the ports that listeners forward to.
pub fn served(service: &Service, inputs: &Inputs) -> BTreeSet<(IpAddr, PortRange)> {
    let served = service.listeners.iter().flat_map(|listener| {
        behind(service, listener, inputs).into_iter().map(|(address, one)| (address, one.ports))
    });
    served.collect()
}

/// Whether a target is unhealthy on every port that it serves.
pub fn is_unhealthy(service: &Service, inputs: &Inputs, address: IpAddr) -> bool {
    let Some(check) = &service.health_check else { return false };
    let listeners = service.listeners.iter();
    let mut keys = listeners
        .filter_map(|listener| behind(service, listener, inputs).get(&address).copied())
        .map(|one| key(service, check, one.ports, address))
        .peekable();
    keys.peek().is_some()
        && keys
            .all(|key| inputs.health.get(&key).is_some_and(|one| one.health == Health::Unhealthy))
}

/// The names of a service's targets, which have to be resolved.
pub fn names(service: &Service) -> impl Iterator<Item = &DnsName> {
    let named = service.listeners.iter().filter_map(|listener| listener.target.as_ref());
    let all = service.targets.iter().map(|target| &target.address).chain(named);
    all.filter_map(|address| match address {
        TargetAddress::Dns(name) => Some(name),
        TargetAddress::Ip(_) => None,
    })
}

/// The targets that a listener forwards to.
pub fn behind<'a>(
    service: &'a Service,
    listener: &Listener,
    inputs: &'a Inputs,
) -> BTreeMap<IpAddr, Behind<'a>> {
    let ports = listener.target_ports;
    if let Some(target) = &listener.target {
        let only = Behind { weight: Target::DEFAULT_WEIGHT, ports, group: None };
        return at(service, target, inputs).map(|address| (address, only)).collect();
    }
    let groups = &listener.groups;
    let leads_to = |one: &Shared<'_>| {
        let share = one.group.and_then(|group| groups.get(group));
        groups.is_empty() || share.is_some()
    };
    let all = shared(service, inputs).into_iter().filter(|(_, one)| leads_to(one));
    all.map(|(address, Shared { weight, port, group })| {
        let ports = port.map_or(ports, PortRange::from);
        (address, Behind { weight, ports, group })
    })
    .collect()
}

/// The current addresses of a target.
fn at(service: &Service, target: &TargetAddress, inputs: &Inputs) -> impl Iterator<Item = IpAddr> {
    let (fixed, found) = match target {
        TargetAddress::Ip(address) => (Some(*address), &[][..]),
        TargetAddress::Dns(name) => (None, resolved(service, name, inputs)),
    };
    fixed.into_iter().chain(found.iter().copied())
}

/// The addresses of a service's target that is a name.
fn resolved<'a>(service: &Service, name: &DnsName, inputs: &'a Inputs) -> &'a [IpAddr] {
    let found = inputs.resolved.get(&(service.name.clone(), name.clone()));
    found.map_or(&[], Vec::as_slice)
}

/// The key of the health that decides whether a target is used on these ports. Of a range, the first
/// is checked.
pub fn key(service: &Service, check: &HealthCheck, ports: PortRange, address: IpAddr) -> TargetKey {
    let port = check.port.unwrap_or(ports.first()).get();
    TargetKey { service: service.name.clone(), address, port }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        host::HostFacts,
        state::{State, targets::Listed},
        timestamp::Timestamp,
    };

    const PARTS: &str = include_str!("../../desired/tests.toml");

    fn model(text: &str) -> Model {
        config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_counts_once_wherever_it_comes_from() {
        let model = model(&PARTS.replacen("10.0.0.20", "db.internal", 1));
        let web = &model.services()["web"];
        let mut inputs = Inputs::default();
        let seen = |inputs: &Inputs| -> Vec<(IpAddr, u32)> {
            let all = addresses(web, inputs).into_iter();
            all.map(|(address, weight)| (address, weight.get())).collect()
        };
        assert_eq!(seen(&inputs), [(ip("10.0.0.10"), 100)]);
        let name: DnsName = "db.internal".parse().unwrap();
        inputs.resolved.insert(
            (web.name.clone(), name),
            ["10.0.0.10", "10.0.0.30", "fd00::30"].map(ip).into(),
        );
        let listed = Listed {
            address: ip("10.0.0.30"),
            weight: Weight::constant::<7>(),
            port: None,
            group: None,
        };
        inputs.listed.insert(web.name.clone(), vec![listed]);
        let expected = [(ip("10.0.0.10"), 100), (ip("10.0.0.30"), 7), (ip("fd00::30"), 50)];
        assert_eq!(seen(&inputs), expected);
    }

    #[test]
    fn each_port_that_is_served_is_checked_unless_one_is_named() {
        let ports = |rules: &str| -> Vec<(IpAddr, u16)> {
            let text = PARTS.replace("# rules", rules).replace("port = 53", "ports = \"53-60\"");
            let model = model(&text);
            let all = checked(&model, &Inputs::default()).into_keys();
            all.map(|key| (key.address, key.port)).collect()
        };
        let (a, b) = (ip("10.0.0.10"), ip("10.0.0.20"));
        assert_eq!(ports("# none"), []);
        let check = r#"health_check = { protocol = "tcp" }"#;
        assert_eq!(ports(check), [(a, 53), (a, 80), (b, 53), (b, 80)]);
        let check = r#"health_check = { protocol = "tcp", port = 9 }"#;
        assert_eq!(ports(check), [(a, 9), (b, 9)]);
    }

    #[test]
    fn who_takes_flows_goes_on_until_checks_say_otherwise() {
        let mut state = State::default();
        let check = r#"health_check = { protocol = "tcp" }"#;
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let follow = |state: &mut State, text: &str, seconds| {
            let inputs = state.inputs.clone();
            state.follow(&model(text), &HostFacts::default(), &inputs, at(seconds)).unwrap();
        };
        let healths = |state: &State, address: &str| -> Vec<(u16, Health)> {
            let all = state.inputs.health.iter().filter(|(key, _)| key.address == ip(address));
            all.map(|(key, condition)| (key.port, condition.health)).collect()
        };
        // New with their check, and so unknown.
        let checked = PARTS.replace("# rules", check);
        let mut fresh = state.clone();
        follow(&mut fresh, &checked, 1);
        let initial = [(53, Health::Initial), (80, Health::Initial)];
        assert_eq!(healths(&fresh, "10.0.0.10"), initial);
        // They took flows before anybody checked them.
        follow(&mut state, PARTS, 1);
        follow(&mut state, &checked, 2);
        let healthy = [(53, Health::Healthy), (80, Health::Healthy)];
        assert_eq!(healths(&state, "10.0.0.10"), healthy);
        // One that is new among them is unknown, and one that was ill and is asked elsewhere too.
        for condition in state.inputs.health.values_mut() {
            condition.health = Health::Unhealthy;
        }
        let more = checked.replace("10.0.0.20", "10.0.0.21");
        let more = more.replace(r#""tcp" }"#, r#""tcp", port = 9 }"#);
        follow(&mut state, &more, 3);
        assert_eq!(healths(&state, "10.0.0.21"), [(9, Health::Initial)]);
        assert_eq!(healths(&state, "10.0.0.10"), [(9, Health::Initial)]);
        assert_eq!(healths(&state, "10.0.0.20"), []);
        // One that drained and comes back has to show that it is well.
        follow(&mut state, &more.replace("10.0.0.21", "10.0.0.20"), 4);
        assert_eq!(healths(&state, "10.0.0.20"), [(9, Health::Initial)]);
    }

    #[test]
    fn a_target_has_its_own_port_and_is_checked_there() {
        let text = PARTS
            .replacen("weight = 100", "port = 8443\ngroup = \"blue\"", 1)
            .replacen("port = 80", "port = 80\ngroup = \"blue\"", 1)
            .replacen("# rules", r#"health_check = { protocol = "tcp" }"#, 1);
        let model = model(&text);
        let web = &model.services()["web"];
        let mut inputs = Inputs::default();
        let (a, b, c) = (ip("10.0.0.10"), ip("10.0.0.20"), ip("10.0.0.30"));
        let listed =
            |port| Listed { address: c, weight: Weight::constant::<7>(), port, group: None };
        let port = |number: i64| Some(Port::try_from(number).unwrap());
        inputs.listed.insert(web.name.clone(), vec![listed(port(9))]);
        let keys: Vec<(IpAddr, u16)> =
            checked(&model, &inputs).into_keys().map(|key| (key.address, key.port)).collect();
        // The one on port 80 leads to one group, that on port 53 to all.
        assert_eq!(keys, [(a, 8443), (b, 53), (c, 9)]);
        assert_eq!(
            own_ports(web, &inputs),
            [(a, port(8443).unwrap()), (c, port(9).unwrap())].into()
        );
        let [first, second] = web.listeners.as_slice() else { panic!("{web:?}") };
        assert_eq!(behind(web, first, &inputs).into_keys().collect::<Vec<_>>(), [a]);
        assert_eq!(behind(web, second, &inputs).len(), 3);
        // A list that names a port cannot know that the service has a range.
        let ranged = self::model(&PARTS.replacen("port = 53", "ports = \"53-54\"", 1));
        assert_eq!(own_ports(&ranged.services()["web"], &inputs), BTreeMap::new());
    }

    #[test]
    fn a_map_leads_each_port_to_its_own_target() {
        let map = r#"map = { 9092 = "10.0.0.10", "9093-9094" = "10.0.0.12:19093-19094" }"#;
        let text = PARTS.replace("port = 80", map).replace("weight = 50", "weight = 0");
        let text = text.replace("# rules", r#"health_check = { protocol = "tcp" }"#);
        let model = model(&text);
        let (web, inputs) = (&model.services()["web"], Inputs::default());
        let weights: Vec<(IpAddr, u32)> =
            addresses(web, &inputs).into_iter().map(|(a, weight)| (a, weight.get())).collect();
        let (a, b, c) = (ip("10.0.0.10"), ip("10.0.0.20"), ip("10.0.0.12"));
        assert_eq!(weights, [(a, 100), (c, 100), (b, 0)]);
        let keys: Vec<(IpAddr, u16)> =
            checked(&model, &inputs).into_keys().map(|key| (key.address, key.port)).collect();
        assert_eq!(keys, [(a, 53), (a, 9092), (c, 19093), (b, 53)]);
        let behind: Vec<Vec<IpAddr>> = web
            .listeners
            .iter()
            .map(|listener| behind(web, listener, &inputs).into_keys().collect())
            .collect();
        assert_eq!(behind, [vec![a], vec![c], vec![a, b]]);
    }
}
