//! Ethernet addresses of the gateway, of targets and of routers, and what happens when they change.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use privatelink_tests::lab::{
    DEVICE, Daemon, Host, Lab, Namespace, Network, Provider, client,
    network::{self, interface_of},
    wait_until,
};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at, ip};

/// The Ethernet address in a host's neighbour table.
fn believed(host: &Host, address: &str) -> String {
    let known = host.namespace().ip(&format!("-json neigh show to {address}")).unwrap();
    let known: Value = serde_json::from_str(&known).unwrap();
    known.pointer("/0/lladdr").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn wait_for(host: &Host, address: &str, mac: &str) {
    wait_until(SOON, "the host knows the new address", || believed(host, address) == mac)
        .unwrap_or_else(|error| panic!("{error}: {address} is {}", believed(host, address)));
}

#[test]
fn an_address_is_announced_when_it_is_first_served() {
    let lab = crate::fixture::lay().unwrap();
    let acme = lab.host("acme");
    // A stale entry is not verified before the host sends a packet.
    for address in ENDPOINT {
        let stale = format!("{address} lladdr 02:00:00:00:dd:dd dev {DEVICE} nud stale");
        acme.namespace().ip(&format!("neigh replace {stale}")).unwrap();
    }
    let _daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for address in ENDPOINT {
        wait_for(acme, address, lab.gateway_mac("acme"));
    }
}

#[test]
fn a_changed_mac_of_the_gateway_is_announced() {
    let scene = Scene::start().unwrap();
    let flows = ENDPOINT.map(|endpoint| {
        let flow = scene.acme().run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&flow, 10_000, 1).unwrap();
        flow
    });
    let macs = [("acme", "02:00:00:00:aa:01"), ("vendor", "02:00:00:00:aa:02")];
    for (name, mac) in macs {
        let interface = interface_of(name);
        scene.lab.gateway().ip(&format!("link set {interface} address {mac}")).unwrap();
    }
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 2).unwrap();
    }
    for address in ENDPOINT {
        wait_for(scene.acme(), address, macs[0].1);
    }
    let sources = scene.provider.seen().into_iter().map(|seen| seen.peer.ip());
    for source in sources {
        wait_for(scene.lab.host("vendor"), &source.to_string(), macs[1].1);
    }
}

/// Makes a host announce changes of its own Ethernet address, as migrated machines do.
fn be_talkative(host: &Namespace) {
    host.set(&format!("ipv4/conf/{DEVICE}/arp_notify"), "1").unwrap();
    host.set(&format!("ipv6/conf/{DEVICE}/ndisc_notify"), "1").unwrap();
}

#[test]
fn flows_follow_a_target_to_another_mac() {
    let scene = Scene::start().unwrap();
    let flows = ENDPOINT.map(|endpoint| {
        let flow = scene.acme().run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&flow, 10_000, 1).unwrap();
        flow
    });
    let vendor = scene.lab.host("vendor").namespace();
    be_talkative(vendor);
    vendor.ip(&format!("link set {DEVICE} address 02:00:00:00:bb:01")).unwrap();
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 2).unwrap();
    }
    let targets = scene.daemon.ask(&["targets", "--json"]).unwrap();
    let macs = targets.as_array().into_iter().flatten().map(|target| &target["mac"]);
    assert!(macs.clone().count() > 0 && macs.clone().all(|mac| mac == "02:00:00:00:bb:01"));
}

/// A vendor's server behind two routers that share addresses.
fn lay_routers() -> (Lab, Namespace) {
    let vendor = Network::new("vendor")
        .host("one", &["10.0.0.11/16", "fd00::11/64"])
        .host("two", &["10.0.0.12/16", "fd00::12/64"]);
    let lab = Lab::builder().network(Network::consumer("acme")).network(vendor).build().unwrap();
    let far = Namespace::create("far").unwrap();
    for (number, name) in [(1, "one"), (2, "two")] {
        let router = lab.host(name).namespace();
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            router.set(setting, "1").unwrap();
        }
        let (behind, device) = ("behind", format!("eth{number}"));
        network::cable((router, behind), (&far, &device), &Network::new("far")).unwrap();
        network::behave_like_a_wire(&far, &device).unwrap();
        let near = [format!("10.9.{number}.1/24"), format!("fd00:9:{number}::1/64")];
        network::address(router, behind, &near).unwrap();
        let own = [format!("10.9.{number}.2/24"), format!("fd00:9:{number}::2/64")];
        network::address(&far, &device, &own).unwrap();
        router.ip(&format!("route add 10.9.0.10/32 via 10.9.{number}.2")).unwrap();
        router.ip(&format!("route add fd00:9::10/128 via fd00:9:{number}::2")).unwrap();
    }
    network::address(&far, "lo", &["10.9.0.10/32".into(), "fd00:9::10/128".into()]).unwrap();
    (lab, far)
}

/// The addresses that the routers share; one of them has them at a time.
const ROUTER: [&str; 2] = ["10.0.0.254/16", "fd00::254/64"];

fn take_over(router: &Host, far: &Namespace, number: u8) {
    be_talkative(router.namespace());
    network::address(router.namespace(), DEVICE, &ROUTER.map(str::to_owned)).unwrap();
    for route in [format!("10.9.{number}.1"), format!("fd00:9:{number}::1")] {
        far.ip(&format!("route replace default via {route}")).unwrap();
    }
    // The unsolicited announcement that a router broadcasts when it becomes active.
    for address in ROUTER {
        let address = address.split('/').next().unwrap_or_default();
        let frame = router.run(|| {
            let sender = privatelink_user::datapath::bpf::FrameSender::open()?;
            let index = nix::net::if_::if_nametoindex(DEVICE)?;
            let link = router.namespace().ip(&format!("-json link show dev {DEVICE}"))?;
            let link: Value = serde_json::from_str(&link)?;
            let mac = link.pointer("/0/address").and_then(Value::as_str).unwrap_or_default();
            let mut bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
            let mac = [(); 6].map(|()| bytes.next().and_then(Result::ok).unwrap_or_default());
            Ok(sender.send(
                index,
                &privatelink_user::datapath::frames::announce::frame(mac, 0, ip(address)),
            )?)
        });
        frame.unwrap();
    }
}

#[test]
fn flows_follow_a_routers_addresses_to_another_router() {
    let (lab, far) = lay_routers();
    let provider = Provider::at(
        &far,
        &["10.9.0.10", "fd00:9::10"].map(ip),
        &[(privatelink_tests::lab::provider::Kind::TcpEcho, 7777)],
    );
    let _provider = provider.unwrap();
    take_over(lab.host("one"), &far, 1);
    let network = "interface = \"veth-vendor\"";
    let config = CONFIG
        .replace(network, &format!("{network}\ngateway = [\"10.0.0.254\", \"fd00::254\"]"))
        .replace("address = \"10.0.0.10\"", "address = \"10.9.0.10\"")
        .replace("address = \"fd00::10\"", "address = \"fd00:9::10\"");
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let flows = ENDPOINT.map(|endpoint| {
        let flow = lab.host("acme").run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&flow, 10_000, 1).unwrap();
        flow
    });
    for address in ROUTER {
        let one = lab.host("one").namespace();
        one.ip(&format!("address del {address} dev {DEVICE}")).unwrap();
    }
    take_over(lab.host("two"), &far, 2);
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 2).unwrap();
    }
    let seen = daemon.ask(&["events", "--kind", "next-hop", "--json"]).unwrap().to_string();
    assert!(seen.contains("10.0.0.254") && seen.contains("fd00::254"), "{seen}");
}

/// An unresolved next hop affects its own target only.
#[test]
fn an_unresolved_next_hop_holds_nothing_up() {
    let more = "[[service]]\nname = \"dead\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
                acceptance = \"automatic\"\nallow = [\"*\"]\nsource_addresses = [\"10.0.0.248/29\"]\n\
                listener = [{ protocol = \"tcp\", port = 80 }]\n\
                target = [{ address = \"10.0.0.77\" }]\n[[endpoint]]\nname = \"acme-dead\"\n\
                service = \"dead\"\nnetwork = \"acme\"\naddresses = [\"10.1.0.60\"]\n";
    let scene = Scene::with(&format!("{CONFIG}\n{more}")).unwrap();
    let problems = scene.daemon.status().unwrap()["problems"].to_string();
    assert!(problems.contains("no answer from 10.0.0.77"), "{problems}");
    let dead = scene.acme().run(|| client::connect(at("10.1.0.60", 80), SOON));
    assert!(dead.is_err());
    crate::fixture::everything_works(scene.acme()).unwrap();
}
