//! The whole configuration.

use std::collections::BTreeMap;

use super::{
    backbone::Backbone,
    endpoint::Endpoint,
    gateway::Gateway,
    name::Name,
    network::{Network, Principal},
    service::Service,
};

/// One gateway's whole configuration, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    gateway: Gateway,
    backbone: Option<Backbone>,
    principals: BTreeMap<Name, Principal>,
    networks: BTreeMap<Name, Network>,
    services: BTreeMap<Name, Service>,
    endpoints: BTreeMap<Name, Endpoint>,
}

impl Model {
    /// Joins objects that `config` has validated against each other.
    pub(crate) fn from_checked(
        gateway: Gateway,
        principals: BTreeMap<Name, Principal>,
        networks: BTreeMap<Name, Network>,
        services: BTreeMap<Name, Service>,
        endpoints: BTreeMap<Name, Endpoint>,
    ) -> Self {
        let backbone = None;
        Self { gateway, backbone, principals, networks, services, endpoints }
    }

    /// The same with links to other sites.
    #[must_use]
    pub(crate) fn with_backbone(self, backbone: Option<Backbone>) -> Self {
        Self { backbone, ..self }
    }

    /// The links to other sites, if there are any.
    pub fn backbone(&self) -> Option<&Backbone> {
        self.backbone.as_ref()
    }

    /// Adds endpoints that `config` has validated against all the rest.
    pub(crate) fn add(&mut self, endpoints: impl IntoIterator<Item = Endpoint>) {
        self.endpoints.extend(endpoints.into_iter().map(|one| (one.name.clone(), one)));
    }

    /// Removes endpoints that were added just now.
    pub(crate) fn remove<'a>(&mut self, endpoints: impl IntoIterator<Item = &'a Name>) {
        endpoints.into_iter().for_each(|name| drop(self.endpoints.remove(name)));
    }

    /// The gateway's own settings.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The principals that unix users act for. Others exist because networks and services name
    /// them.
    pub fn principals(&self) -> &BTreeMap<Name, Principal> {
        &self.principals
    }

    /// The networks that the gateway is attached to.
    pub fn networks(&self) -> &BTreeMap<Name, Network> {
        &self.networks
    }

    /// The services that providers publish.
    pub fn services(&self) -> &BTreeMap<Name, Service> {
        &self.services
    }

    /// The endpoints through which consumers reach services.
    pub fn endpoints(&self) -> &BTreeMap<Name, Endpoint> {
        &self.endpoints
    }
}
