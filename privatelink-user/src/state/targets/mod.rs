//! What is known of targets beyond the configuration: where those are that have names, and which
//! of them are well.
//!
//! Checks, name servers and files that others write are outside; what they told last is a value,
//! [`Inputs`], from which everything else is computed.

mod drains;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::maps;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        DnsName, HealthCheck, Listener, Model, Name, PortRange, Service, Target, TargetAddress,
        Weight,
    },
    state::ids::Ids,
    timestamp::Timestamp,
};

pub use drains::{Drain, Drains, Place};

/// What health is of: a target of a service, on one of the ports that it serves, or on the one
/// port that is checked for all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetKey {
    /// The service.
    pub service: Name,
    /// The target's address.
    pub address: IpAddr,
    /// The port that is checked.
    pub port: u16,
}

/// Whether a target is well, as far as checks have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// No check has ended yet.
    Initial,
    /// It answers as it should.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Health {
    /// How lists spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A target's health, since when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The health.
    pub health: Health,
    /// Since when it has been that.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// What the outside told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// How targets with a health check are. Checks go on from here, after a start as well.
    pub health: BTreeMap<TargetKey, Condition>,
    /// The addresses of targets that are names, by service, since each may ask servers of its
    /// own; those that are absent are not known yet.
    pub resolved: BTreeMap<(Name, DnsName), Vec<IpAddr>>,
    /// What stands in the files that list targets, by service.
    pub listed: BTreeMap<Name, Vec<Listed>>,
}

impl Inputs {
    /// What of this matters under a configuration. `ids` and `drains` are those until now.
    ///
    /// A target that took flows before it was to be checked, or on another port, stays healthy
    /// until checks say otherwise: how it is checked is no reason to take its flows away.
    #[must_use]
    pub fn following(&self, model: &Model, ids: &Ids, drains: &Drains, now: Timestamp) -> Self {
        let mut next = Self::default();
        for service in model.services().values() {
            for name in names(service) {
                let key = (service.name.clone(), name.clone());
                if let Some(addresses) = self.resolved.get(&key) {
                    next.resolved.insert(key, addresses.clone());
                }
            }
            if let Some(listed) = self.listed.get(&service.name) {
                next.listed.insert(service.name.clone(), listed.clone());
            }
        }
        let mut before: BTreeMap<(&Name, IpAddr), Health> = BTreeMap::new();
        for (key, condition) in &self.health {
            let health = before.entry((&key.service, key.address)).or_insert(condition.health);
            if condition.health == Health::Healthy {
                *health = Health::Healthy;
            }
        }
        for key in checked(model, self).into_keys() {
            let condition = self.health.get(&key).cloned().unwrap_or_else(|| {
                let known = before.get(&(&key.service, key.address)).copied();
                let service = model.services().get(&key.service);
                let had_flows = service.is_some_and(|one| {
                    let drains = drains.of(one, key.address).is_some();
                    ids.target(one, key.address).is_some() && !drains
                });
                match known.unwrap_or(if had_flows { Health::Healthy } else { Health::Initial }) {
                    Health::Healthy => Condition {
                        health: Health::Healthy,
                        since: now,
                        reason: "it took flows before it was checked".into(),
                    },
                    Health::Initial | Health::Unhealthy => Condition {
                        health: Health::Initial,
                        since: now,
                        reason: "no health check has ended yet".into(),
                    },
                }
            });
            next.health.insert(key, condition);
        }
        next
    }
}

/// A target in a file that lists targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its address.
    pub address: IpAddr,
    /// Its share of new flows.
    pub weight: Weight,
}

/// A service whose targets find no room in the backend table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no room for the targets of the service `{service}`: the gateway's table has \
     {} places, and each target takes at least one in every service with several; use fewer \
     targets, or fewer weights that differ",
    maps::MAX_BACKENDS
)]
pub struct NoRoom {
    /// The service.
    pub service: Name,
}

/// All targets of a service, each address once.
pub fn addresses(service: &Service, inputs: &Inputs) -> BTreeMap<IpAddr, Weight> {
    let mut all = shared(service, inputs);
    for target in service.listeners.iter().filter_map(|listener| listener.target.as_ref()) {
        for address in at(service, target, inputs) {
            // What a listener leads to alone has weight there, whatever it has elsewhere.
            let weight = all.entry(address).or_insert(Target::DEFAULT_WEIGHT);
            if weight.get() == 0 {
                *weight = Target::DEFAULT_WEIGHT;
            }
        }
    }
    all
}

/// The targets that a service's listeners share, each address once: an address that is written
/// wins over one that a file lists, and that over one that a name has.
fn shared(service: &Service, inputs: &Inputs) -> BTreeMap<IpAddr, Weight> {
    let mut found = BTreeMap::new();
    for target in &service.targets {
        if let TargetAddress::Ip(address) = target.address {
            found.insert(address, target.weight);
        }
    }
    for listed in inputs.listed.get(&service.name).into_iter().flatten() {
        found.entry(listed.address).or_insert(listed.weight);
    }
    for target in &service.targets {
        if let TargetAddress::Dns(name) = &target.address {
            for address in resolved(service, name, inputs) {
                found.entry(*address).or_insert(target.weight);
            }
        }
    }
    found
}

/// Everything that is to be checked, and how.
pub fn checked<'a>(model: &'a Model, inputs: &Inputs) -> BTreeMap<TargetKey, &'a HealthCheck> {
    let mut all = BTreeMap::new();
    for service in model.services().values() {
        let Some(check) = &service.health_check else { continue };
        for listener in &service.listeners {
            for address in behind(service, listener, inputs).into_keys() {
                all.insert(key(service, check, listener, address), check);
            }
        }
    }
    all
}

/// The addresses of a service's targets, each with the ports that listeners lead to.
pub fn served(service: &Service, inputs: &Inputs) -> BTreeSet<(IpAddr, PortRange)> {
    let served = service.listeners.iter().flat_map(|listener| {
        let addresses = behind(service, listener, inputs).into_keys();
        addresses.map(|address| (address, listener.target_ports))
    });
    served.collect()
}

/// Whether checks have found a target ill on every port that it serves.
pub fn is_unhealthy(service: &Service, inputs: &Inputs, address: IpAddr) -> bool {
    let Some(check) = &service.health_check else { return false };
    let listeners = service.listeners.iter();
    let mut keys = listeners
        .filter(|listener| behind(service, listener, inputs).contains_key(&address))
        .map(|listener| key(service, check, listener, address))
        .peekable();
    keys.peek().is_some()
        && keys
            .all(|key| inputs.health.get(&key).is_some_and(|one| one.health == Health::Unhealthy))
}

/// The names that are to be resolved for a service.
pub fn names(service: &Service) -> impl Iterator<Item = &DnsName> {
    let named = service.listeners.iter().filter_map(|listener| listener.target.as_ref());
    let all = service.targets.iter().map(|target| &target.address).chain(named);
    all.filter_map(|address| match address {
        TargetAddress::Dns(name) => Some(name),
        TargetAddress::Ip(_) => None,
    })
}

/// The targets that a listener leads to.
pub fn behind(service: &Service, listener: &Listener, inputs: &Inputs) -> BTreeMap<IpAddr, Weight> {
    match &listener.target {
        Some(target) => at(service, target, inputs).map(|a| (a, Target::DEFAULT_WEIGHT)).collect(),
        None => shared(service, inputs),
    }
}

/// Where a target is now.
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

/// What decides about a target of a listener: its health on the port that is checked, the first
/// of a range.
pub fn key(
    service: &Service,
    check: &HealthCheck,
    listener: &Listener,
    address: IpAddr,
) -> TargetKey {
    let port = check.port.unwrap_or(listener.target_ports.first()).get();
    TargetKey { service: service.name.clone(), address, port }
}

/// The addresses of a service's targets whose flows may go on.
pub fn kept(
    service: &Service,
    inputs: &Inputs,
    drains: &Drains,
    now: Timestamp,
) -> BTreeSet<IpAddr> {
    let drain = drains.of_service(&service.name).filter(|(_, drain)| drain.until > now);
    addresses(service, inputs).into_keys().chain(drain.map(|(address, _)| address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::HostFacts, state::State};

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
        let listed = Listed { address: ip("10.0.0.30"), weight: Weight::constant::<7>() };
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
