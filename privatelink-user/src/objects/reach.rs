//! What a caller may refer to. What it may not, and what does not exist, is one to it.

use std::collections::BTreeSet;

use crate::{
    access::Rights,
    config::suggestion,
    model::{Model, Name, Network, Service},
};

/// The networks and services that a caller's objects may refer to.
pub(super) struct Reach<'a> {
    pub model: &'a Model,
    pub rights: &'a Rights,
}

impl<'a> Reach<'a> {
    /// Whether the caller may publish in a network: its own, or one whose owner lists it.
    fn publishes(&self, network: &Network) -> bool {
        self.rights.see_network(network)
            || network.publishers.iter().any(|one| self.rights.include(one))
    }

    /// Whether a service is the caller's, or offered to it.
    fn is_offered(&self, service: &Service) -> bool {
        self.rights.see_service(service) || self.rights.may_connect_to(service)
    }

    /// A network in which the caller may publish.
    pub fn publishing(&self, name: &str) -> Option<&'a Network> {
        self.model.networks().get(name).filter(|network| self.publishes(network))
    }

    /// A network in which the caller may have endpoints.
    pub fn consuming(&self, name: &str) -> Option<&'a Network> {
        self.model.networks().get(name).filter(|network| self.rights.see_network(network))
    }

    /// A service to which endpoints of the caller may lead.
    pub fn service(&self, name: &str) -> Option<&'a Service> {
        self.model.services().get(name).filter(|service| self.is_offered(service))
    }

    /// A similar name, or advice.
    pub fn network_help(&self, name: &str, publishing: bool) -> String {
        let all = self.model.networks().values();
        let seen =
            all.filter(
                |one| {
                    if publishing { self.publishes(one) } else { self.rights.see_network(one) }
                },
            );
        let known: BTreeSet<&str> = seen.map(|one| one.name.as_str()).collect();
        suggestion(name, known).unwrap_or_else(|| "use a network of your own".to_owned())
    }

    /// A similar name, or advice.
    pub fn service_help(&self, name: &str) -> String {
        let all = self.model.services().values();
        let known = all.filter(|one| self.is_offered(one)).map(|one| one.name.as_str());
        suggestion(name, known).unwrap_or_else(|| "use a service that is offered to you".to_owned())
    }

    /// The owner of a network, whoever asks.
    pub fn owner(&self, network: &str) -> Option<&'a Name> {
        self.model.networks().get(network).map(|network| &network.principal)
    }
}
