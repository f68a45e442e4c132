//! How endpoints are called.

use std::collections::BTreeSet;

use crate::model::{DnsName, DnsPattern, Endpoint, Gateway, Network, Service};

/// The names that an endpoint gets by itself: its own, and the one of its zone.
///
/// # Errors
/// The name that would be longer than the DNS allows.
pub fn generated(gateway: &Gateway, endpoint: &Endpoint) -> Result<[String; 2], String> {
    let (name, service, domain) = (&endpoint.name, &endpoint.service, &gateway.domain);
    let own = format!("{name}.{service}.{domain}");
    let zonal = format!("{name}-{}.{service}.{domain}", gateway.name);
    // The second one's first label is the longer one of the two.
    if fits(&zonal) { Ok([own, zonal]) } else { Err(zonal) }
}

/// The names of the service's provider that lead to an endpoint while it is available.
pub fn private(network: &Network, service: &Service, endpoint: &Endpoint) -> BTreeSet<DnsPattern> {
    let names = service.private_dns.iter();
    names.filter(|name| endpoint.private_dns && network.accepts(name)).cloned().collect()
}

/// All names of an endpoint, as they are shown.
pub fn all(
    gateway: &Gateway,
    network: &Network,
    service: &Service,
    endpoint: &Endpoint,
) -> Vec<String> {
    let generated = generated(gateway, endpoint).into_iter().flatten();
    let private = private(network, service, endpoint);
    generated.chain(private.iter().map(ToString::to_string)).collect()
}

/// The name of the gateway's own name server.
pub fn server(domain: &DnsName) -> String {
    format!("ns.{domain}")
}

/// Whether a name is short enough for the DNS, and each of its labels.
pub fn fits(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, dns::tests::CONFIG};

    #[test]
    fn an_endpoint_has_two_names_of_its_own() {
        let model = config::from_text("test.toml", CONFIG).unwrap().model;
        let endpoint = &model.endpoints()["acme-web"];
        let names = generated(model.gateway(), endpoint).unwrap();
        assert_eq!(
            names,
            ["acme-web.web.privatelink.internal", "acme-web-gw-a.web.privatelink.internal"]
        );
        let network = &model.networks()["acme"];
        let service = &model.services()["web"];
        let private: Vec<_> = private(network, service, endpoint).into_iter().collect();
        let private: Vec<_> = private.iter().map(ToString::to_string).collect();
        assert_eq!(private, ["web.internal", "*.web.internal"]);
    }
}
