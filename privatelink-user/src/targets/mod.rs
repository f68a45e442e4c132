//! What is known of targets beyond the configuration: where those are that have names, and which
//! of them are well.
//!
//! Checks, name servers and files that others write are outside; what they told last is a value,
//! [`Inputs`], from which everything else is computed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{DnsName, HealthCheck, Model, Name, Service, TargetAddress, Weight},
    timestamp::Timestamp,
};

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
    /// How targets with a health check are; those that are absent have not been checked yet.
    pub health: BTreeMap<TargetKey, Condition>,
    /// The addresses of targets that are names; those that are absent are not known yet.
    pub resolved: BTreeMap<DnsName, Vec<IpAddr>>,
    /// What stands in the files that list targets, by service.
    pub listed: BTreeMap<Name, Vec<Listed>>,
}

/// A target in a file that lists targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub address: IpAddr,
    /// Its share of new flows.
    pub weight: Weight,
}

/// A service's targets, each address once: an address that is written wins over one that a file
/// lists, and that over one that a name has.
pub fn addresses(service: &Service, inputs: &Inputs) -> BTreeMap<IpAddr, Weight> {
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
            for address in inputs.resolved.get(name).into_iter().flatten() {
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
        let ports: BTreeSet<u16> = match check.port {
            Some(port) => [port.get()].into(),
            // Of a range, the first.
            None => service.listeners.iter().map(|one| one.target_ports.first().get()).collect(),
        };
        for address in addresses(service, inputs).into_keys() {
            for &port in &ports {
                all.insert(TargetKey { service: service.name.clone(), address, port }, check);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const PARTS: &str = include_str!("../desired/tests.toml");

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
        inputs.resolved.insert(name, ["10.0.0.10", "10.0.0.30", "fd00::30"].map(ip).into());
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
}
