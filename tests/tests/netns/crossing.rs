//! What crosses from one network to another besides the bytes of a flow, and what does not.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use privatelink_tests::{
    lab::{Capture, DEVICE, client, ethernet_address, provider::ECHO_PORT, wait_until},
    packet::{Given, Packet, neighbour},
};
use tempfile::TempDir;

use crate::fixture::{CLIENT, ENDPOINT, SERVER, SOON, Scene, at, everything_works};

/// The client's port of the flow that packets are about.
const PORT: u16 = 20_777;

/// The Ethernet address of what an attacker sends; no host has it.
const ATTACKER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// A flow as both of its ends know it.
struct Flow {
    client: UdpSocket,
    /// Client and endpoint.
    ends: [SocketAddr; 2],
    /// Target and source address.
    beyond: [SocketAddr; 2],
}

/// Opens a flow of acme's over each family.
fn flows(scene: &Scene) -> Result<Vec<Flow>> {
    let mut flows = Vec::new();
    for (endpoint, own) in ENDPOINT.into_iter().zip(CLIENT) {
        let client = scene.acme().run(|| Ok(UdpSocket::bind(at(own, PORT))?))?;
        client.connect(at(endpoint, 7))?;
        client::udp_exchange(&client, b"ping", SOON)?;
        let seen = scene.provider.seen();
        let seen = seen.last().context("the provider saw no datagram")?;
        let ends = [at(own, PORT), at(endpoint, 7)];
        flows.push(Flow { client, ends, beyond: [seen.local, seen.peer] });
    }
    Ok(flows)
}

/// Sends packets from a network to the gateway.
fn send(scene: &Scene, network: &str, packets: impl IntoIterator<Item = Packet>) -> Result<()> {
    let gateway = ethernet_address(scene.lab.gateway_mac(network))?;
    let frames: Vec<_> = packets
        .into_iter()
        .map(|packet| packet.between(ATTACKER, gateway).build(&Given::default()))
        .collect();
    scene.lab.host(network).send_frames(&frames)
}

/// Sends a datagram of five bytes from a consumer to the target, and has it back.
fn exchange(scene: &Scene, network: &str) -> Result<()> {
    scene.lab.host(network).run(|| client::udp_echo(at(ENDPOINT[0], 7), b"later", SOON))
}

/// An error of this kind about what the end at `from` has received.
fn error_about([from, to]: [SocketAddr; 2], kind: (u8, u8), rest: u32) -> Packet {
    let quoted = Packet::udp(to, from).payload(b"as it arrived");
    Packet::icmp(from, to, kind, rest).about(quoted, 64)
}

/// Says that nothing listens at the end at `from`: an error that crosses.
fn unreachable(ends: [SocketAddr; 2]) -> Packet {
    error_about(ends, if ends[0].is_ipv4() { (3, 3) } else { (1, 4) }, 0)
}

/// A capture of what arrives in one network, and what it is looked through for.
struct Watch {
    capture: Capture,
    since: SystemTime,
    _directory: TempDir,
}

impl Watch {
    fn at(scene: &Scene, network: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let namespace = scene.lab.host(network).namespace();
        let capture = Capture::start(namespace, DEVICE, &directory)?;
        Ok(Self { capture, since: SystemTime::now(), _directory: directory })
    }

    /// Waits until the summary shows this text so many times; the network keeps the order of
    /// packets.
    fn wait_for(&self, text: &str, times: usize) -> Result<()> {
        wait_until(SOON, &format!("{times} of \"{text}\" arrive"), || {
            self.capture.summary().is_ok_and(|seen| seen.matches(text).count() >= times)
        })
    }

    /// Waits for one error of each family that says that nothing listens.
    fn wait_for_errors(&self) -> Result<()> {
        self.wait_for(" unreachable, length", 1)?;
        self.wait_for("destination unreachable, ", 1)
    }

    /// How many packets matched.
    fn count(self, filter: &str) -> Result<usize> {
        Ok(self.capture.split(filter, self.since)?.0)
    }
}

/// A redirect would take the other end's packets to another router, a source quench would slow them
/// down.
#[test]
fn redirects_and_source_quench_do_not_cross() {
    let scene = Scene::start().unwrap();
    let flows = flows(&scene).unwrap();
    for (from, to) in [("acme", "vendor"), ("vendor", "acme")] {
        let watch = Watch::at(&scene, to).unwrap();
        for flow in &flows {
            let ends = if from == "acme" { flow.ends } else { flow.beyond };
            let kinds: &[(u8, u8)] =
                if ends[0].is_ipv4() { &[(4, 0), (5, 0), (5, 1), (5, 3)] } else { &[(137, 0)] };
            let forged = kinds.iter().map(|&kind| error_about(ends, kind, 0x0a00_00fe));
            send(&scene, from, forged.chain([unreachable(ends)])).unwrap();
        }
        watch.wait_for_errors().unwrap();
        let crossed = watch
            .count("icmp[0] == 4 or icmp[0] == 5 or (icmp6 and ip6[6] == 58 and ip6[40] == 137)");
        assert_eq!(crossed.unwrap(), 0, "from {from} to {to}");
    }
}

/// Networks overlap: another tenant's host may have the client's address, and quote its packets.
#[test]
fn an_error_reaches_only_the_other_end_of_what_it_quotes() {
    let scene = Scene::start().unwrap();
    let flows = flows(&scene).unwrap();
    let unreachable_only = "(icmp and icmp[0] == 3) or (ip6[6] == 58 and ip6[40] == 1)";
    let watch = Watch::at(&scene, "vendor").unwrap();
    for network in ["globex", "initech", "acme"] {
        send(&scene, network, flows.iter().map(|flow| unreachable(flow.ends))).unwrap();
    }
    watch.wait_for_errors().unwrap();
    assert_eq!(watch.count(unreachable_only).unwrap(), 2, "only those of the client's network");

    let [acme, globex] = ["acme", "globex"].map(|network| Watch::at(&scene, network).unwrap());
    send(&scene, "vendor", flows.iter().map(|flow| unreachable(flow.beyond))).unwrap();
    acme.wait_for_errors().unwrap();
    assert_eq!(acme.count(unreachable_only).unwrap(), 2);
    exchange(&scene, "globex").unwrap();
    globex.wait_for("UDP, length 5", 2).unwrap();
    assert_eq!(globex.count(unreachable_only).unwrap(), 0);
}

/// Addresses of the other side would be recorded in the option, or the time there.
#[test]
fn options_record_nothing_of_the_other_side() {
    let scene = Scene::start().unwrap();
    let flows = flows(&scene).unwrap();
    let flow = &flows[0];
    let options: [&[u8]; 2] =
        [&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]];
    for (from, to) in [("acme", "vendor"), ("vendor", "acme")] {
        let ends = if from == "acme" { flow.ends } else { flow.beyond };
        let watch = Watch::at(&scene, to).unwrap();
        let recording = options.map(|options| {
            Packet::udp(ends[0], ends[1]).options(options).payload(b"with an option")
        });
        send(&scene, from, recording).unwrap();
        watch.wait_for("UDP, length 14", 2).unwrap();
        // An option is the first thing behind the plain header; 1 fills the space.
        let recorded = watch.count("ip[0] & 0xf > 5 and udp and (ip[20] == 7 or ip[20] == 68)");
        assert_eq!(recorded.unwrap(), 0, "from {from} to {to}");
    }
    client::udp_exchange(&flow.client, b"still open", SOON).unwrap();
}

/// What a network says of its neighbours is heard there only.
#[test]
fn neighbours_are_announced_to_no_other_network() {
    let scene = Scene::start().unwrap();
    let watches = ["vendor", "globex"].map(|network| Watch::at(&scene, network).unwrap());
    let mut frames = Vec::new();
    for address in [SERVER[0], CLIENT[0], ENDPOINT[0], "10.0.0.1", "10.0.0.240"] {
        let address: Ipv4Addr = address.parse().unwrap();
        frames.push(neighbour::arp_request((ATTACKER, address), address));
        frames.push(neighbour::arp_reply((ATTACKER, address), (neighbour::BROADCAST, address)));
    }
    for address in [SERVER[1], CLIENT[1], ENDPOINT[1], "fd00::1", "fd00::f0"] {
        let address: Ipv6Addr = address.parse().unwrap();
        let all = (neighbour::ALL_NODES_MAC, neighbour::ALL_NODES);
        frames.push(neighbour::Discovery::solicitation((ATTACKER, address), address).build());
        frames.push(neighbour::Discovery::advertisement((ATTACKER, address), all, 0x20).build());
    }
    scene.acme().send_frames(&frames).unwrap();
    // Sent later, and so heard later.
    exchange(&scene, "acme").unwrap();
    exchange(&scene, "globex").unwrap();
    for watch in watches {
        watch.wait_for("UDP, length 5", 2).unwrap();
        // The sender of ARP, and the option that holds the sender's or the target's address.
        let told = "(arp and arp[8:4] == 0x02000000 and arp[12:2] == 0x0077) or \
                    (ip6[6] == 58 and ip6[66:4] == 0x02000000 and ip6[70:2] == 0x0077)";
        assert_eq!(watch.count(told).unwrap(), 0);
    }
    for network in ["vendor", "globex"] {
        let known = scene.lab.host(network).namespace().ip("neigh show").unwrap();
        assert!(!known.contains("02:00:00:00:00:77"), "{network}: {known}");
    }
    assert_eq!(scene.provider.seen().last().unwrap().local.port(), ECHO_PORT);
}

/// Each opened a flow once, with a source that is no address of IPv6.
#[test]
fn packets_with_mapped_addresses_open_no_flow() {
    let scene = Scene::start().unwrap();
    let before = scene.daemon.status().unwrap();
    let malformed = |status: &serde_json::Value| status["drops"]["malformed"].as_u64().unwrap_or(0);
    let mapped = [CLIENT[0], ENDPOINT[0]].map(|address| format!("::ffff:{address}"));
    for (from, to) in [(&*mapped[0], ENDPOINT[1]), (CLIENT[1], &mapped[1])] {
        let packet = Packet::udp(at(from, PORT), at(to, 7)).payload(b"mapped");
        send(&scene, "acme", std::iter::repeat_n(packet, 400)).unwrap();
    }
    wait_until(SOON, "all are refused", || {
        scene.daemon.status().is_ok_and(|now| malformed(&now) >= malformed(&before) + 800)
    })
    .unwrap();
    let status = scene.daemon.status().unwrap();
    assert_eq!(status["flows"]["active"], 0, "{status}");
    everything_works(scene.acme()).unwrap();
}
