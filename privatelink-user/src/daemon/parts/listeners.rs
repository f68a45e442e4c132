//! The groups by which hosts ask for the gateway's IPv6 addresses: the kernel reports them to
//! switches.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    chain::Chain,
    datapath::{frames::announce::served_addresses, tables::MapTables},
    host::{Host, HostFacts, is_ipv6_off},
};

/// Makes the kernel report the groups of the addresses that these maps serve, and no others on the
/// interfaces that were `touched` before. Returns what does not work.
pub(in crate::daemon) async fn reconcile(
    tables: &MapTables,
    host: &mut Host,
    touched: &BTreeSet<u32>,
) -> Vec<String> {
    let wanted = wanted(tables, host.facts());
    let failed = host.listen(&wanted, |ifindex| touched.contains(&ifindex)).await;
    let mut problems: Vec<_> = failed.iter().map(|error| Chain(error).to_string()).collect();
    let interfaces: BTreeSet<u32> = wanted.iter().map(|(ifindex, _)| *ifindex).collect();
    let links = interfaces.iter().filter_map(|ifindex| host.facts().link_at(*ifindex));
    problems.extend(links.filter(|link| is_ipv6_off(&link.name)).map(|link| {
        format!(
            "the host has IPv6 switched off on {0}, so switches that snoop on MLD keep requests \
             for the gateway's IPv6 addresses from it; set net.ipv6.conf.{0}.disable_ipv6 to 0",
            link.name
        )
    }));
    problems
}

/// The addresses, by the interface of the host's stack. Without one, as in a VLAN for which the
/// host has no interface, no group can be reported.
fn wanted(tables: &MapTables, facts: &HostFacts) -> BTreeSet<(u32, Ipv6Addr)> {
    let served = served_addresses(tables, facts);
    let places = served.into_keys().filter_map(|(ifindex, vlan, address)| {
        let IpAddr::V6(address) = address else { return None };
        let stack = facts.stack_of(ifindex, vlan.into()).filter(|stack| stack.up)?;
        Some((stack.index, address))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Link;
    use privatelink_common::{Local, LocalKey, LocalKind, TagKey};

    #[test]
    fn groups_are_joined_on_the_interface_of_the_hosts_stack() {
        let mut tables = MapTables::default();
        // Networks 0 to 2: untagged, in a VLAN with an interface, and in one without.
        tables.attachments.insert(3, 1);
        tables.tagged.insert(TagKey { ifindex: 3, vlan: 7 }, 1);
        tables.tagged.insert(TagKey { ifindex: 3, vlan: 8 }, 2);
        let local = Local { kind: LocalKind::Endpoint as u32, ..Local::default() };
        for network in [0, 1, 2] {
            for text in ["10.1.0.50", "fd00:1::50"] {
                let address: IpAddr = text.parse().unwrap();
                tables.locals.insert(LocalKey { network, address: address.into() }, local);
            }
        }
        let mut facts = HostFacts::default();
        for (index, up, tag) in [(3, true, None), (4, true, Some((3, 7))), (5, false, Some((3, 8)))]
        {
            let (name, mac, mtu) = (format!("eth{index}"), Some([2; 6]), 1500);
            facts.insert_link(Link { index, name, mac, mtu, up, allmulti: true, tag });
        }
        let address: Ipv6Addr = "fd00:1::50".parse().unwrap();
        assert_eq!(wanted(&tables, &facts), [(3, address), (4, address)].into());
    }
}
