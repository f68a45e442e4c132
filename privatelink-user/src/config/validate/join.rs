//! Joins the files into a model.

use std::collections::BTreeMap;

use super::{
    address_claims::AddressClaims,
    authority, backbone, dns, endpoint, gateway, network, principal, quota,
    scope::{DefinedNames, Scope, unique},
    service, store,
};
use crate::{
    config::{
        decode::List,
        diagnostic::Report,
        raw::{self, Document},
        source::{Located, ObjectKind, Sources},
    },
    model::{Model, Name},
};

/// Joins the files into a model, or reports why they do not make one.
pub(in crate::config) fn model(
    documents: Vec<Document>,
    sources: &Sources,
    report: &mut Report,
) -> Option<Model> {
    authority::check(&documents, sources, report);
    let Parts {
        gateways,
        apis,
        stores,
        backbones,
        sites,
        principals,
        networks,
        services,
        endpoints,
    } = Parts::of(documents);
    let gateway = gateway::validate(gateways, apis, report);
    let principals =
        valid(unique(principals, report), |name, raw| principal::validate(name, raw, report));
    let raw_networks = unique(networks, report);
    let raw_services = unique(services, report);
    let raw_endpoints = unique(endpoints, report);

    let sites = unique(sites, report);
    let site_places = sites.iter().map(|(name, site)| (name.clone(), site.at)).collect();
    let mut remote = backbone::validate(backbones, sites, report);

    let mut claims = AddressClaims::default();
    let (name_locations, places) = written(&raw_services, &raw_endpoints);
    let mut scope = Scope {
        networks: DefinedNames::of(ObjectKind::Network, &raw_networks),
        services: DefinedNames::of(ObjectKind::Service, &raw_services),
        attached: BTreeMap::new(),
        backbone: remote.backbone.take(),
    };
    scope.attached = network::validate(raw_networks, &mut claims, report);
    remote.join(&mut scope, &site_places, report);
    let mut services =
        valid(raw_services, |name, raw| service::validate(name, raw, &scope, &mut claims, report));
    services.append(&mut remote.services);
    let endpoints = valid(raw_endpoints, |name, raw| {
        endpoint::validate(name, raw, &scope, &mut claims, report)
    });
    backbone::once_per_site(scope.backbone.as_ref(), &endpoints, &places.endpoints, report);
    claims.compare(report);
    let mut gateway = gateway?;
    gateway.store = store::validate(stores, &gateway.name, report);
    for network in scope.attached.values_mut() {
        network.dns_proven = gateway.dns_proof.is_some();
    }
    let objects = dns::ModelObjects {
        gateway: &gateway,
        networks: &scope.attached,
        services: &services,
        endpoints: &endpoints,
    };
    name_locations.compare(&objects, report);
    let owners = quota::Owners {
        principals: &principals,
        networks: &scope.attached,
        services: &services,
        endpoints: &endpoints,
    };
    owners.check(&places, report);
    let model = Model::from_checked(gateway, principals, scope.attached, services, endpoints);
    Some(model.with_backbone(scope.backbone))
}

/// The tables of all files, by kind.
#[derive(Default)]
struct Parts {
    gateways: Vec<Located<raw::Gateway>>,
    apis: Vec<Located<raw::Api>>,
    stores: Vec<Located<raw::Store>>,
    backbones: Vec<Located<raw::Backbone>>,
    sites: List<raw::Site>,
    principals: List<raw::Principal>,
    networks: List<raw::Network>,
    services: List<raw::Service>,
    endpoints: List<raw::Endpoint>,
}

impl Parts {
    fn of(documents: Vec<Document>) -> Self {
        let mut parts = Self::default();
        for document in documents {
            parts.gateways.extend(document.gateway);
            parts.apis.extend(document.api);
            parts.stores.extend(document.store);
            parts.backbones.extend(document.backbone);
            parts.sites.extend(document.site.into_iter().flat_map(|list| list.value));
            parts.principals.extend(document.principal.into_iter().flat_map(|list| list.value));
            parts.networks.extend(document.network.into_iter().flat_map(|list| list.value));
            parts.services.extend(document.service.into_iter().flat_map(|list| list.value));
            parts.endpoints.extend(document.endpoint.into_iter().flat_map(|list| list.value));
        }
        parts
    }
}

/// Where names of services and endpoints are written.
fn written(
    services: &BTreeMap<Name, Located<raw::Service>>,
    endpoints: &BTreeMap<Name, Located<raw::Endpoint>>,
) -> (dns::NameLocations, quota::Places) {
    let mut locations = dns::NameLocations::default();
    let mut places = quota::Places::default();
    for (name, service) in services {
        let at = service.value.name.as_ref().map_or(service.at, |name| name.at);
        places.services.insert(name.clone(), at);
        locations.service(name, &service.value.private_dns.value);
    }
    for (name, endpoint) in endpoints {
        let at = endpoint.value.name.as_ref().map_or(endpoint.at, |name| name.at);
        places.endpoints.insert(name.clone(), at);
        locations.endpoint(name, at);
    }
    (locations, places)
}

/// Validates each part, leaving out those with faults.
fn valid<Raw, T>(
    parts: BTreeMap<Name, Located<Raw>>,
    mut validate: impl FnMut(&Name, Located<Raw>) -> Option<T>,
) -> BTreeMap<Name, T> {
    parts
        .into_iter()
        .filter_map(|(name, raw)| validate(&name, raw).map(|part| (name, part)))
        .collect()
}
