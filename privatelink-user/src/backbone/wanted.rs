//! What links should be: a pure function of configuration, state and clock.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::Ipv6Net;

use super::report::{Offer, Want};
use crate::{
    model::{self, Model, Name, Namespace, PublicKey, Transit, WireGuard, offered_ports, tag},
    state::{State, connection::Acceptance},
};

/// What links should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) site: Name,
    pub(super) listen: u16,
    pub(super) namespace: Namespace,
    pub(super) wireguard: WireGuard,
    pub(super) state_dir: PathBuf,
    pub(super) sites: Vec<WantedSite>,
}

/// What the link to one site should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedSite {
    pub name: Name,
    pub principal: Name,
    pub interface: String,
    pub keys: Vec<PublicKey>,
    pub address: Option<SocketAddr>,
    pub keepalive: Duration,
    /// Addresses of this site, towards that one.
    pub here: Ipv6Net,
    /// Addresses of that site, towards this one.
    pub there: Ipv6Net,
    /// What endpoints here use of it.
    pub wants: Vec<Want>,
    /// What it may use of this one.
    pub offers: Vec<Offer>,
}

impl Wanted {
    /// What a configuration asks for; `None` is nothing.
    pub fn of(model: &Model, state: &State) -> Option<Self> {
        let backbone = model.backbone()?;
        let one = |site: &model::Site| {
            let own = Transit { of: &backbone.site, toward: &site.name };
            let theirs = Transit { of: &site.name, toward: &backbone.site };
            let network = model.networks().get(&site.name)?;
            Some(WantedSite {
                name: site.name.clone(),
                principal: network.principal.clone(),
                interface: network.attachment.interface.to_string(),
                keys: site.public_keys.clone(),
                address: site.address,
                keepalive: site.keepalive.map(model::Keepalive::get).unwrap_or_default(),
                here: own.prefix(),
                there: theirs.prefix(),
                wants: wants(model, site),
                offers: offers(model, state, &site.name),
            })
        };
        Some(Self {
            site: backbone.site.clone(),
            listen: backbone.listen.get(),
            namespace: backbone.namespace.clone(),
            wireguard: backbone.wireguard,
            state_dir: model.gateway().state_dir.clone(),
            sites: backbone.sites.values().filter_map(one).collect(),
        })
    }

    /// The WireGuard interface: no two namespaces of a host have one of the same name, because
    /// `wireguard-go` has its socket by that name.
    pub(super) fn interface(&self) -> String {
        format!("wg-{}", tag(self.namespace.as_str()))
    }
}

fn wants(model: &Model, site: &model::Site) -> Vec<Want> {
    let used: BTreeSet<&Name> = model.endpoints().values().map(|one| &one.service).collect();
    let services = site.services.iter().filter_map(|name| {
        let service = model.services().get(&name.at_site(&site.name))?;
        let want = Want { service: name.clone(), ports: offered_ports(service) };
        used.contains(&service.name).then_some(want)
    });
    services.collect()
}

fn offers(model: &Model, state: &State, site: &Name) -> Vec<Offer> {
    let endpoints = model.endpoints().values().filter(|one| one.network == *site);
    let offers = endpoints.filter_map(|endpoint| {
        let service = model.services().get(&endpoint.service)?;
        let connection = state.connections.get(&endpoint.name);
        let state = connection.map_or(Acceptance::Pending, |one| one.standing.acceptance());
        let ports = offered_ports(service);
        Some(Offer { service: service.name.clone(), ports, state })
    });
    offers.collect()
}
