//! What a configuration says about the page that is to cross.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

/// The endpoint that is shown, and the service behind it.
#[derive(Debug)]
pub(super) struct Scenario {
    pub endpoint: String,
    pub service: String,
    pub addresses: Vec<IpAddr>,
    /// The vendor's own name for the service.
    pub name: String,
    pub sources: Vec<String>,
    pub tcp_port: u16,
    pub udp_port: Option<u16>,
}

impl Scenario {
    /// Reads the first endpoint in network `acme`.
    pub(super) fn read(config: &str) -> Result<Self> {
        let config: Table = config.parse()?;
        let endpoint = entries(&config, "endpoint")
            .find(|endpoint| word(endpoint, "network") == Some("acme"))
            .context("it has no [[endpoint]] in network `acme`")?;
        let service_name = word(endpoint, "service").context("the endpoint names no service")?;
        let service = entries(&config, "service")
            .find(|service| word(service, "name") == Some(service_name))
            .with_context(|| format!("it has no [[service]] `{service_name}`"))?;
        let addresses: Vec<IpAddr> =
            words(endpoint, "addresses").filter_map(|text| text.parse().ok()).collect();
        ensure!(!addresses.is_empty(), "the endpoint lists no addresses");
        let name = words(service, "private_dns").find(|name| !name.starts_with('*'));
        let port = |protocol| {
            entries(service, "listener")
                .find(|listener| word(listener, "protocol") == Some(protocol))
                .and_then(|listener| listener.get("port")?.as_integer())
                .and_then(|port| u16::try_from(port).ok())
        };
        Ok(Self {
            endpoint: word(endpoint, "name").unwrap_or("unnamed").to_owned(),
            service: service_name.to_owned(),
            addresses,
            name: name.context("the service has no `private_dns`")?.to_owned(),
            sources: words(service, "source_addresses").map(str::to_owned).collect(),
            tcp_port: port("tcp").context("the service has no tcp listener")?,
            udp_port: port("udp"),
        })
    }

    /// Returns where the page is fetched from.
    pub(super) fn url(&self) -> String {
        match self.tcp_port {
            80 => format!("http://{}/", self.name),
            port => format!("http://{}:{port}/", self.name),
        }
    }
}

fn entries<'a>(table: &'a Table, name: &str) -> impl Iterator<Item = &'a Table> {
    table.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn word<'a>(table: &'a Table, name: &str) -> Option<&'a str> {
    table.get(name)?.as_str()
}

fn words<'a>(table: &'a Table, name: &str) -> impl Iterator<Item = &'a str> {
    table.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstart_fits() {
        let config = include_str!("../../../../examples/quickstart.toml");
        let scenario = Scenario::read(config).unwrap();
        assert_eq!(scenario.url(), "http://web.internal/");
        assert_eq!((scenario.endpoint.as_str(), scenario.udp_port), ("acme-web", Some(7)));
    }

    #[test]
    fn a_configuration_without_endpoint_is_refused() {
        let error = Scenario::read("[gateway]\nname = \"gw\"").unwrap_err();
        assert!(error.to_string().contains("[[endpoint]]"), "{error}");
    }
}
