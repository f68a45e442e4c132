//! Endpoints that are added to a configuration that has been validated, looked at without
//! validating all of it again.
//!
//! Whatever might be a fault is left to the validation of everything, which has the words for it:
//! so what is said here is either "they surely fit" or nothing.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    address_claims::AddressClaims,
    authority, endpoint,
    quota::flows_of,
    scope::{DefinedNames, Scope, unique},
};
use crate::{
    config::{
        diagnostic::Report,
        raw::Document,
        source::{ObjectKind, Sources},
    },
    model::{Endpoint, EndpointAddresses, Model, Name, Quota, Service, TargetAddress, naming},
};

/// The endpoints that these documents declare and nothing else, if they surely fit the model.
pub(in crate::config) fn added(
    documents: Vec<Document>,
    sources: &Sources,
    model: &Model,
) -> Option<Vec<Endpoint>> {
    let mut report = Report::default();
    let networks = model.networks().values();
    let owners = networks.map(|network| (&network.name, &network.principal)).collect();
    authority::confine_all(&documents, sources, &owners, &mut report);
    let raw = documents.into_iter().flat_map(|document| document.endpoint);
    let raw = unique(raw.flat_map(|list| list.value).collect(), &mut report);
    let scope = Scope {
        networks: DefinedNames::of(ObjectKind::Network, model.networks()),
        services: DefinedNames::of(ObjectKind::Service, model.services()),
        attached: model.networks().clone(),
        // What leads to other sites is left to the validation of everything.
        backbone: None,
    };
    let mut claims = AddressClaims::default();
    let added = raw.into_iter().map(|(name, raw)| {
        let is_new = !model.endpoints().contains_key(&name);
        endpoint::validate(&name, raw, &scope, &mut claims, &mut report).filter(|_| is_new)
    });
    let added: Vec<Endpoint> = added.collect::<Option<_>>()?;
    claims.compare(&mut report);
    let fits = report.is_empty()
        && !added.iter().any(|endpoint| is_linked(model, endpoint))
        && added.iter().all(|endpoint| addresses_are_free(model, endpoint))
        && names_are_free(model, &added)
        && within_quotas(model, &added);
    fits.then_some(added)
}

/// Whether an endpoint leads to another site, or is one's.
fn is_linked(model: &Model, endpoint: &Endpoint) -> bool {
    let backbone = model.backbone();
    endpoint.service.site_and_service().is_some()
        || backbone.is_some_and(|backbone| backbone.site_of(&endpoint.network).is_some())
}

/// Whether nothing else in the configuration has the endpoint's addresses.
fn addresses_are_free(model: &Model, endpoint: &Endpoint) -> bool {
    let EndpointAddresses::Fixed(own) = endpoint.addresses else { return true };
    let is_own = |address: &IpAddr| own.iter().any(|one| one == *address);
    let Some(network) = model.networks().get(&endpoint.network) else { return false };
    let others = model.endpoints().values().filter(|other| other.network == network.name);
    let is_taken = |other: &Endpoint| match other.addresses {
        EndpointAddresses::Fixed(pair) => pair.iter().any(|address| is_own(&address)),
        EndpointAddresses::Auto => false,
    };
    let mut services = model.services().values().filter(|one| one.network == network.name);
    let is_used = |service: &Service| {
        let listeners = service.listeners.iter().filter_map(|listener| listener.target.as_ref());
        let mut targets = service.targets.iter().map(|target| &target.address).chain(listeners);
        service.source_addresses.iter().any(is_own)
            || targets.any(|target| matches!(target, TargetAddress::Ip(ip) if is_own(ip)))
    };
    !network.gateways.iter().any(is_own)
        && !others.into_iter().any(is_taken)
        && !services.any(is_used)
}

/// Whether no name leads to one of these endpoints and to another one of its network.
fn names_are_free(model: &Model, added: &[Endpoint]) -> bool {
    let mut taken: BTreeSet<(&Name, String)> = BTreeSet::new();
    for endpoint in added {
        let Some((network, names)) = names(model, endpoint) else { continue };
        let Some(names) = names else { return false };
        if !names.into_iter().all(|name| taken.insert((network, name))) {
            return false;
        }
    }
    let of_network: BTreeSet<&Name> = taken.iter().map(|(network, _)| *network).collect();
    let mut others = model.endpoints().values().filter(|other| of_network.contains(&other.network));
    // The names of others fit: that they are too long was found when they were validated.
    !others.any(|other| {
        names(model, other).is_some_and(|(network, names)| {
            names.into_iter().flatten().any(|name| taken.contains(&(network, name)))
        })
    })
}

/// The network in which an endpoint has names, and these; `None` instead of names if one is too
/// long. Where no names are served, there are none.
fn names<'a>(model: &'a Model, endpoint: &Endpoint) -> Option<(&'a Name, Option<Vec<String>>)> {
    let network = model.networks().get(&endpoint.network).filter(|network| network.dns)?;
    let service = model.services().get(&endpoint.service)?;
    let private = naming::private(network, service, endpoint);
    let generated = naming::generated(model.gateway(), endpoint).ok();
    let names = generated.map(|generated| {
        generated.into_iter().chain(private.iter().map(ToString::to_string)).collect()
    });
    Some((&network.name, names))
}

/// Whether no principal has more than its quota with these endpoints.
fn within_quotas(model: &Model, added: &[Endpoint]) -> bool {
    let owner = |endpoint: &Endpoint| {
        model.networks().get(&endpoint.network).map(|network| &network.principal)
    };
    let owners: BTreeSet<&Name> = added.iter().filter_map(owner).collect();
    owners.into_iter().all(|name| {
        let quota = model.principals().get(name).map_or_else(Quota::default, |one| one.quota);
        if quota.endpoints.is_none() && quota.flows.is_none() {
            return true;
        }
        let all = model.endpoints().values().chain(added).filter(|one| owner(one) == Some(name));
        let (count, flows) =
            all.fold((0, 0), |(count, flows), one| (count + 1, flows + flows_of(one)));
        quota.endpoints.is_none_or(|most| count <= u64::from(most.get()))
            && quota.flows.is_none_or(|most| flows <= most.get())
    })
}
