//! Zones that follow from a configuration.

use std::collections::BTreeMap;

use super::{record::ServedNames, zones::zones};
use crate::{
    config,
    host::{HostFacts, Link},
    model::{Model, Name},
    state::{
        State,
        targets::{Condition, Health, Inputs, TargetKey},
    },
    timestamp::Timestamp,
};

/// Two consumers of a service with names of its own.
pub(crate) const CONFIG: &str = include_str!("tests.toml");

/// The line about the names that `acme` accepts.
const ACCEPTS: &str = "dns_accept = [\"*.internal\"]\n# acme";

/// The names of the network `acme` with these lines in the place of others.
pub(super) fn names(changes: &[(&str, &str)], healthy: bool) -> ServedNames {
    let text = changes.iter().fold(CONFIG.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "nothing to replace: {from}");
        text.replacen(from, to, 1)
    });
    let model =
        config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}")).model;
    let mut inputs = Inputs::default();
    if !healthy {
        let key = TargetKey {
            service: "web".parse().unwrap(),
            address: "10.0.0.10".parse().unwrap(),
            port: 80,
        };
        let (health, since) = (Health::Unhealthy, Timestamp::now());
        inputs.health.insert(key, Condition { health, since, reason: "refused".into() });
    }
    served(&model, &inputs).remove("acme").unwrap()
}

fn served(model: &Model, inputs: &Inputs) -> BTreeMap<Name, ServedNames> {
    let mut facts = HostFacts::default();
    facts.insert_link(Link {
        index: 3,
        name: "veth-acme".into(),
        mac: Some([2; 6]),
        mtu: 1500,
        up: true,
        allmulti: true,
        tag: None,
    });
    for address in ["10.1.0.1", "fd00:1::1", "fe80::1"] {
        facts.insert_own_address(3, address.parse().unwrap());
    }
    let mut state = State::default();
    state.follow(model, &facts, inputs, Timestamp::now()).unwrap();
    zones(model, &state, &facts, inputs, Timestamp::now())
}

fn lines(names: &ServedNames, apex: &str) -> Vec<String> {
    let records = names.zones.get(apex).unwrap_or_else(|| panic!("no zone {apex}")).records.iter();
    records.map(|one| format!("{} {} {}", one.name, one.data.kind(), one.data)).collect()
}

#[test]
fn an_available_endpoint_has_all_its_records() {
    let names = names(&[], true);
    let apexes: Vec<&str> = names.zones.keys().map(String::as_str).collect();
    let v6 = "0.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(
        apexes[0],
        &v6.replacen("0.5.0.0.0.0.0.0.0.0.0.0", "0.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0", 1)
    );
    assert_eq!(
        apexes[1..],
        ["50.0.1.10.in-addr.arpa", "internal", "privatelink.internal", "web.internal"]
    );
    let name = "acme-web.web.privatelink.internal";
    let own = lines(&names, "privatelink.internal");
    for line in [
        format!("{name} A 10.1.0.50"),
        format!("{name} AAAA fd00:1::50"),
        format!("{name} TXT \"service=web\""),
        format!("_web._tcp.{name} SRV 0 0 80 {name}."),
        format!("_web._udp.{name} SRV 0 0 5000 {name}."),
        "acme-web-gw-a.web.privatelink.internal A 10.1.0.50".to_owned(),
        "ns.privatelink.internal A 10.1.0.1".to_owned(),
        "ns.privatelink.internal AAAA fd00:1::1".to_owned(),
    ] {
        assert!(own.contains(&line), "no {line} in {own:#?}");
    }
    assert_eq!(own.len(), 10, "{own:#?}");
    assert_eq!(
        lines(&names, "50.0.1.10.in-addr.arpa")[0],
        format!("50.0.1.10.in-addr.arpa PTR {name}.")
    );
    let private = lines(&names, "web.internal");
    assert!(private.contains(&"*.web.internal A 10.1.0.50".to_owned()), "{private:#?}");
    assert!(private.contains(&"_web._tcp.web.internal SRV 0 0 80 web.internal.".to_owned()));
    assert_eq!(names.ttl, 60);
}

#[test]
fn an_unavailable_endpoint_has_an_empty_zone() {
    for change in [
        ("acceptance = \"automatic\"", "acceptance = \"manual\""),
        ("allow = [\"acme\", \"globex\"]", "allow = [\"globex\"]"),
    ] {
        let names = names(&[change], true);
        assert_eq!(lines(&names, "web.internal"), Vec::<String>::new(), "{change:?}");
        assert_eq!(lines(&names, "privatelink.internal").len(), 2, "the name server's own");
    }
}

#[test]
fn the_consumer_decides_which_private_names_it_accepts() {
    for change in [
        ("# acme-web", "private_dns = false"),
        (ACCEPTS, "dns_accept = [\"*.example.com\"]"),
        (ACCEPTS, "dns_accept = []"),
    ] {
        let names = names(&[change], true);
        assert!(!names.zones.contains_key("web.internal"), "{change:?}");
        assert_eq!(lines(&names, "privatelink.internal").len(), 10);
    }
    let only_one = names(&[(ACCEPTS, "dns_accept = [\"web.internal\"]")], true);
    assert!(lines(&only_one, "web.internal").iter().all(|line| !line.starts_with('*')));
}

#[test]
fn names_are_withdrawn_where_configured() {
    let keep = names(&[], false);
    assert_eq!(keep, names(&[], true));
    let withdraw =
        [("# web", "dns_unhealthy = \"withdraw\"\nhealth_check = { protocol = \"tcp\" }")];
    assert_eq!(lines(&names(&withdraw, false), "web.internal"), Vec::<String>::new());
    assert_eq!(names(&withdraw, true), keep);
}

#[test]
fn forwarders_exclude_the_gateway_itself() {
    let names = names(&[("# acme", "forwarders = [\"10.1.0.2\", \"10.1.0.1\"]")], true);
    assert_eq!(names.forwarders, ["10.1.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert!(!names.zones.contains_key("internal"));
}
