//! The services that a caller may connect to, as far as consumers may know them.

use super::{Overview, listeners, words};
use crate::{
    access::Rights,
    interface::types::{CatalogueConnection, CatalogueEntry},
    model::{AcceptancePolicy, Endpoint, Service},
};

impl Overview<'_> {
    /// The catalogue, by name. Where targets are, and who else may connect, is not in it.
    pub fn catalogue(&self) -> Vec<CatalogueEntry> {
        let offered = self.model.services().values();
        let offered = offered.filter(|service| self.rights.may_connect_to(service));
        offered.map(|service| self.entry(service)).collect()
    }

    fn entry(&self, service: &Service) -> CatalogueEntry {
        let leads_here = |endpoint: &&Endpoint| endpoint.service == service.name;
        let connection = |endpoint: &Endpoint| CatalogueConnection {
            endpoint: endpoint.name.to_string(),
            state: self.acceptance(endpoint).word().to_owned(),
        };
        CatalogueEntry {
            name: service.name.to_string(),
            description: service.description.as_ref().map(ToString::to_string),
            tags: service.tags.all().clone(),
            provider: service.principal.to_string(),
            listeners: listeners(service),
            acceptance: acceptance(service, self.rights).to_string(),
            private_names: words(&service.private_dns),
            connections: self.seen_endpoints().filter(leads_here).map(connection).collect(),
        }
    }
}

/// Who decides about a request of any of these principals.
fn acceptance(service: &Service, rights: &Rights) -> AcceptancePolicy {
    let unasked = |names: &std::collections::BTreeSet<_>| {
        let mut allowed = names.iter().filter(|name| service.allow.contains(name));
        allowed.all(|name| service.accept.contains(name))
    };
    match rights {
        Rights::Of(names) if unasked(names) => AcceptancePolicy::Automatic,
        Rights::Of(_) | Rights::All => service.acceptance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn who_is_accepted_unasked_reads_automatic() {
        let text = r#"
            [gateway]
            name = "gw"
            [[network]]
            name = "vendor"
            interface = "v0"
            principal = "vendor"
            subnets = ["10.0.0.0/24"]
            [[service]]
            name = "web"
            principal = "vendor"
            network = "vendor"
            allow = ["acme", "globex"]
            accept = ["acme"]
            source_addresses = ["10.0.0.240/32"]
            [[service.listener]]
            protocol = "tcp"
            port = 80
            [[service.target]]
            address = "10.0.0.10"
        "#;
        let model = config::from_text("c.toml", text).unwrap().model;
        let web = &model.services()["web"];
        let of =
            |names: &[&str]| Rights::Of(names.iter().map(|one| one.parse().unwrap()).collect());
        assert_eq!(acceptance(web, &of(&["acme"])), AcceptancePolicy::Automatic);
        assert_eq!(acceptance(web, &of(&["globex"])), AcceptancePolicy::Manual);
        assert_eq!(acceptance(web, &of(&["acme", "globex"])), AcceptancePolicy::Manual);
        assert_eq!(acceptance(web, &Rights::All), AcceptancePolicy::Manual);
        assert!(!of(&["vendor"]).may_connect_to(web), "its own service is not offered to itself");
    }
}
