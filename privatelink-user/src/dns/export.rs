//! Exports names for a network's own resolvers: a zone file, or configuration that forwards queries
//! to the gateway.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use super::{sockets::PORT, zones::PRIVATE_USE};
use crate::interface::types::{NamesZone, NetworkNames};

/// Output formats of `privatelink dns export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A zone file, for name servers that serve the records themselves
    Zone,
    /// Lines for unbound.conf
    Unbound,
    /// Lines for dnsmasq.conf
    Dnsmasq,
    /// A block of a Corefile
    Coredns,
    /// A file for /etc/systemd/resolved.conf.d/
    SystemdResolved,
}

/// Why names cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network has no such zone.
    #[error("network {network} has no zone `{zone}`; its zones are {known}")]
    NoZone {
        /// The network.
        network: String,
        /// The requested zone.
        zone: String,
        /// The zones that exist, separated by commas.
        known: String,
    },
    /// The gateway has no address to send queries to.
    #[error(
        "the gateway has no address in network {network} to send queries to; assign one to the \
         network's interface"
    )]
    NoAddress {
        /// The network.
        network: String,
    },
}

/// Writes a zone file for the named zone, or for the zone of the gateway's own names.
///
/// # Errors
/// When there is no such zone.
pub fn zone(names: &NetworkNames, zone: Option<&str>, serial: u32) -> Result<String, Error> {
    let own = names.server.split_once('.').map_or("", |(_, domain)| domain);
    let apex = zone.map_or(own, |zone| zone.trim_end_matches('.'));
    let found = names.zones.iter().find(|zone| zone.apex.eq_ignore_ascii_case(apex));
    let found = found.ok_or_else(|| Error::NoZone {
        network: names.network.clone(),
        zone: apex.to_owned(),
        known: apexes(names).collect::<Vec<_>>().join(", "),
    })?;
    Ok(text(names, found, serial))
}

fn text(names: &NetworkNames, zone: &NamesZone, serial: u32) -> String {
    let NetworkNames { server, ttl, negative_ttl, .. } = names;
    let domain = server.split_once('.').map_or("", |(_, domain)| domain);
    let mut text = format!(
        "; zone {} as served in network {}\n$ORIGIN {}.\n$TTL {ttl}\n\
         @ IN SOA {server}. hostmaster.{domain}. {serial} 3600 600 86400 {negative_ttl}\n\
         @ IN NS {server}.\n",
        zone.apex, names.network, zone.apex
    );
    for record in &zone.records {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}. IN {} {}", record.name, record.r#type, record.data);
    }
    text
}

/// Writes the configuration with which a resolver forwards queries to the gateway.
///
/// # Errors
/// When the gateway has no address in the network.
pub fn stub(names: &NetworkNames, format: Format) -> Result<String, Error> {
    let addresses: Vec<IpAddr> =
        names.addresses.iter().filter_map(|address| address.parse().ok()).collect();
    if addresses.is_empty() {
        return Err(Error::NoAddress { network: names.network.clone() });
    }
    let sockets: Vec<SocketAddr> =
        addresses.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
    let apexes: Vec<&str> = apexes(names).collect();
    let mut text = format!("# forwards names of network {} to the gateway\n", names.network);
    match format {
        Format::Zone => {}
        Format::Unbound => unbound(&mut text, &apexes, &addresses),
        Format::Dnsmasq => {
            for apex in &apexes {
                for address in &addresses {
                    text += &format!("server=/{apex}/{address}\n");
                }
                text += &format!("rebind-domain-ok=/{apex}/\n");
            }
        }
        Format::Coredns => {
            let zones: Vec<String> = apexes.iter().map(|apex| format!("{apex}:{PORT}")).collect();
            text += &format!("{} {{\n    forward . {}\n}}\n", zones.join(" "), joined(&sockets));
        }
        Format::SystemdResolved => {
            let domains: Vec<String> = apexes.iter().map(|apex| format!("~{apex}")).collect();
            text +=
                &format!("[Resolve]\nDNS={}\nDomains={}\n", joined(&addresses), domains.join(" "));
        }
    }
    Ok(text)
}

fn unbound(text: &mut String, apexes: &[&str], addresses: &[IpAddr]) {
    *text += "server:\n";
    for apex in apexes {
        // Allow private addresses in answers, and override unbound's built-in reverse zones of
        // private ranges.
        *text += &format!(
            "    local-zone: \"{apex}.\" transparent\n    private-domain: \"{apex}.\"\n    \
             domain-insecure: \"{apex}.\"\n"
        );
    }
    for apex in apexes {
        *text += &format!("stub-zone:\n    name: \"{apex}.\"\n    stub-no-cache: no\n");
        for address in addresses {
            *text += &format!("    stub-addr: {address}\n");
        }
    }
}

/// The apexes of all zones except the empty one that answers NXDOMAIN for private use.
fn apexes(names: &NetworkNames) -> impl Iterator<Item = &str> {
    let apexes = names.zones.iter().map(|zone| zone.apex.as_str());
    apexes.filter(|apex| *apex != PRIVATE_USE)
}

fn joined(things: &[impl ToString]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{listing::listing, tests::names};

    fn network() -> NetworkNames {
        listing(
            "acme",
            &names(&[], true),
            &["10.1.0.1".parse().unwrap(), "fd00:1::1".parse().unwrap()],
        )
    }

    #[test]
    fn a_zone_is_complete() {
        let text = zone(&network(), None, 7).unwrap();
        assert!(text.contains("$ORIGIN privatelink.internal.\n"), "{text}");
        assert!(
            text.contains("@ IN SOA ns.privatelink.internal. hostmaster.privatelink.internal. 7 ")
        );
        assert!(text.contains("\nns.privatelink.internal. IN A 10.1.0.1\n"), "{text}");
        assert_eq!(text.lines().count(), 5 + 10);
        let private = zone(&network(), Some("Web.internal."), 7).unwrap();
        assert!(private.contains("\n*.web.internal. IN AAAA fd00:1::50\n"), "{private}");
        let error = zone(&network(), Some("nothing"), 7).unwrap_err().to_string();
        assert!(error.contains("`nothing`") && error.contains("web.internal"), "{error}");
    }

    #[test]
    fn resolvers_forward_to_the_gateway() {
        for (format, line) in [
            (Format::Unbound, "    stub-addr: fd00:1::1\n"),
            (Format::Dnsmasq, "server=/web.internal/10.1.0.1\n"),
            (Format::Coredns, "    forward . 10.1.0.1:53 [fd00:1::1]:53\n"),
            (Format::SystemdResolved, "DNS=10.1.0.1 fd00:1::1\n"),
        ] {
            let text = stub(&network(), format).unwrap();
            assert!(text.contains(line), "{text}");
            assert!(!text.contains("/internal/") && !text.contains("~internal"), "{text}");
        }
        let nowhere = NetworkNames { addresses: Vec::new(), ..network() };
        assert!(stub(&nowhere, Format::Dnsmasq).is_err());
    }
}
