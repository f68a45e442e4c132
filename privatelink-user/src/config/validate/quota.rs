//! Quotas: what is beyond one is reported at the first thing that is.

use std::collections::BTreeMap;

use crate::{
    config::{
        diagnostic::{Fault, Report},
        source::Location,
    },
    model::{Endpoint, Name, Network, Principal, Quota, Service, owned, quota},
};

/// Where the names of services and endpoints are written.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub services: BTreeMap<Name, Location>,
    pub endpoints: BTreeMap<Name, Location>,
}

/// Everything that quotas are about.
pub(super) struct Owners<'a> {
    pub principals: &'a BTreeMap<Name, Principal>,
    pub networks: &'a BTreeMap<Name, Network>,
    pub services: &'a BTreeMap<Name, Service>,
    pub endpoints: &'a BTreeMap<Name, Endpoint>,
}

impl Owners<'_> {
    /// Reports what is beyond the quota of its principal.
    pub fn check(&self, places: &Places, report: &mut Report) {
        let limited = |one: &&Principal| one.quota != Quota::default();
        for principal in self.principals.values().filter(limited) {
            let services = self.services.values().filter(|one| one.principal == principal.name);
            let mut services: Vec<(Option<&Location>, &Service)> =
                services.map(|one| (places.services.get(&one.name), one)).collect();
            services.sort_by_key(|(at, _)| *at);
            let endpoints = self.endpoints.values().filter(|one| {
                let network = self.networks.get(&one.network);
                network.is_some_and(|network| network.principal == principal.name)
            });
            let mut endpoints: Vec<(Option<&Location>, &Endpoint)> =
                endpoints.map(|one| (places.endpoints.get(&one.name), one)).collect();
            endpoints.sort_by_key(|(at, _)| *at);
            let Quota { services: most, endpoints: most_endpoints, targets, flows } =
                principal.quota;
            let mut beyond =
                |what: &str, quota: Option<u64>, amounts: Vec<(Option<&Location>, u64)>| {
                    report_beyond(&principal.name, what, quota, &amounts, report);
                };
            let count = |quota: quota::Count| u64::from(quota.get());
            beyond("services", most.map(count), services.iter().map(|(at, _)| (*at, 1)).collect());
            let of_targets = services.iter().map(|(at, one)| (*at, owned::targets(one))).collect();
            beyond("targets", targets.map(count), of_targets);
            let of_endpoints = endpoints.iter().map(|(at, _)| (*at, 1)).collect();
            beyond("endpoints", most_endpoints.map(count), of_endpoints);
            let of_flows = endpoints.iter().map(|(at, one)| (*at, flows_of(one))).collect();
            beyond("flows", flows.map(|quota| quota.get()), of_flows);
        }
    }
}

/// What an endpoint takes of its principal's quota of flows. Without a limit of its own it gets a part
/// of what others leave.
pub(super) fn flows_of(endpoint: &Endpoint) -> u64 {
    endpoint.limits.flows.map_or(1, |limit| limit.get())
}

/// Reports the first place at which a sum exceeds a quota.
fn report_beyond(
    principal: &Name,
    what: &str,
    quota: Option<u64>,
    amounts: &[(Option<&Location>, u64)],
    report: &mut Report,
) {
    let Some(quota) = quota else { return };
    let mut sum = 0;
    let exceeds = |(_, amount): &&(Option<&Location>, u64)| {
        sum += amount;
        sum > quota
    };
    let Some((at, _)) = amounts.iter().find(exceeds) else { return };
    let all: u64 = amounts.iter().map(|(_, amount)| amount).sum();
    let fault = Fault::new(format!(
        "the principal `{principal}` has {all} {what} with this, and its quota is {quota}"
    ));
    let fault = fault.help("remove some, or ask the gateway's operator for a larger `quota`");
    report.push(match at {
        Some(at) => fault.at(**at),
        None => fault,
    });
}
