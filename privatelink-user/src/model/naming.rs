//! The DNS names of endpoints.

use std::collections::BTreeSet;

use super::{
    dns::DnsPattern, endpoint::Endpoint, gateway::Gateway, name::DnsName, network::Network,
    service::Service,
};

/// The names that are generated for an endpoint: one, and one with its zone.
///
/// # Errors
/// The name that would be longer than the DNS allows.
pub fn generated(gateway: &Gateway, endpoint: &Endpoint) -> Result<[String; 2], String> {
    let (name, service, domain) = (&endpoint.name, &endpoint.service, &gateway.domain);
    let own = format!("{name}.{service}.{domain}");
    let zonal = format!("{name}-{}.{service}.{domain}", gateway.name);
    // The zonal name is the longer of the two.
    if fits(&zonal) { Ok([own, zonal]) } else { Err(zonal) }
}

/// The names of the service's provider that lead to an endpoint while it is available.
pub fn private(network: &Network, service: &Service, endpoint: &Endpoint) -> BTreeSet<DnsPattern> {
    let names = service.private_dns.iter();
    names.filter(|name| endpoint.private_dns && network.accepts(name)).cloned().collect()
}

/// All names of an endpoint, as status and API list them.
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
