//! Sites: what they become, and what is said of damaged ones.

use std::net::IpAddr;

use super::faults;
use crate::{
    config::from_text,
    model::{EndpointAddresses, Model, Name, TargetAddress},
};

const KEYS: [&str; 2] = [
    "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
    "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
];

/// The consumers' site.
const HERE: &str = include_str!("site-a.toml");

/// The provider's site.
const THERE: &str = include_str!("site-b.toml");

fn model(text: &str) -> Model {
    from_text("gw.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
}

fn name(text: &str) -> Name {
    Name::of_service(text).unwrap()
}

#[test]
fn the_target_here_is_the_endpoint_there() {
    let (here, there) = (model(HERE), model(THERE));
    let service = &here.services()[&name("site-b/payments")];
    let TargetAddress::Ip(target) = service.targets[0].address else { panic!("an address") };
    let EndpointAddresses::Fixed(pair) = there.endpoints()["a-payments"].addresses else {
        panic!("derived");
    };
    assert_eq!(pair.iter().collect::<Vec<IpAddr>>(), [target]);
    // Each side takes what the other has for its own, and nothing else.
    let (ours, theirs) = (&here.networks()["site-b"], &there.networks()["site-a"]);
    assert_eq!(ours.subnets, theirs.reachable_from);
    assert_eq!(ours.reachable_from, theirs.subnets);
    assert!(theirs.subnet_of(target).is_some());
    let clients: Vec<_> = theirs.clients().collect();
    let inside = |source: &IpAddr| clients.iter().any(|prefix| prefix.contains(source));
    assert!(service.source_addresses.iter().all(inside));
}

#[test]
fn a_site_is_a_principal_and_a_network() {
    let model = model(THERE);
    assert_eq!(model.networks()["site-a"].principal, name("site-a"));
    assert!(model.services()["payments"].allow.contains(&name("site-a")));
    let backbone = model.backbone().unwrap();
    assert_eq!(backbone.listen.get(), 51_820);
    assert_eq!(
        backbone.sites["site-a"].keepalive, None,
        "it dials, and keeps the link open itself"
    );
    let model = super::super::from_text("gw.toml", HERE).unwrap().model;
    assert!(model.backbone().unwrap().sites["site-b"].keepalive.is_some());
}

/// Each mistake, and what is said of it.
#[test]
fn a_mistake_is_one_fault_that_names_both_sides() {
    let second = format!(
        "[[site]]\nname = \"site-c\"\npublic_key = [\"{}\"]\n\n[[site]]\nname = \"site-b\"",
        KEYS[0]
    );
    for (text, from, to, expected) in [
        (
            HERE,
            "site-b/payments\"",
            "site-b/paymnets\"",
            "no [[site]] `site-b` has a service `paymnets`",
        ),
        (
            HERE,
            "\"site-b/payments",
            "\"site-x/payments",
            "no [[site]] `site-x` has a service `payments`",
        ),
        (
            HERE,
            "[backbone]\nsite = \"site-a\"",
            "",
            "there is a [[site]], and no file has a [backbone]",
        ),
        (HERE, "[backbone]", "[backbone]\nlisten = 0", "`listen`: 0 is out of range"),
        (HERE, "site = \"site-a\"", "site = \"site-b\"", "the site `site-b` is this one"),
        (HERE, "8Dg=", "8D==", "is not a public key"),
        (HERE, "[[site]]\nname = \"site-b\"", &second, "have the same public key"),
        (HERE, "tcp = [443, \"9092-9099\"]", "", "neither `tcp` nor `udp` ports"),
        (HERE, "\"9092-9099\"", "\"440-450\"", "tcp 443 and 440-450 overlap"),
        (HERE, "name = \"site-b\"", "name = \"acme\"", "the site `acme` has the name of a network"),
        (HERE, "\"eth1\"", "\"site-site-b\"", "which is that of the site `site-b`"),
        (
            THERE,
            "network = \"site-a\"",
            "network = \"site-a\"\naddresses = [\"10.1.0.50\"]",
            "`a-payments` is in the network of the site `site-a`",
        ),
        (
            THERE,
            "[[endpoint]]",
            "[[endpoint]]\nname = \"again\"\nservice = \"payments\"\nnetwork = \"site-a\"\n\n[[endpoint]]",
            "both give the site `site-a` the service `payments`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let found = faults(&text.replacen(from, to, 1));
        assert!(found.iter().any(|(message, _)| message.contains(expected)), "{to}: {found:?}");
    }
}

#[test]
fn sites_do_not_reach_each_other_through_a_third() {
    let onward = format!(
        "{HERE}\n[[endpoint]]\nname = \"onward\"\nservice = \"site-b/payments\"\nnetwork = \"site-c\"\n\
         [[site]]\nname = \"site-c\"\npublic_key = [\"{}\"]\n",
        KEYS[1]
    );
    let [(message, _)] = &faults(&onward)[..] else { panic!("one fault") };
    assert_eq!(message, "`onward` would lead from the site `site-c` to another site");
}

#[test]
fn a_principal_cannot_open_a_link() {
    let confined = format!("authority = \"acme\"\n{HERE}");
    let found = faults(&confined);
    let links = found.iter().filter(|(message, _)| message.contains("links to other sites"));
    assert_eq!(links.count(), 2, "{found:?}");
}
