//! What an untrusted network sees and can do, and what a site can that its owner has lost.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    process::Command,
    time::SystemTime,
};

use privatelink_tests::lab::{Capture, client, tool, wait_until};
use tempfile::TempDir;

use super::scene::{SOON, Scene, Site};
use crate::fixture::{ENDPOINT, NEVER, at};

/// What tenants say to each other.
const SECRET: &[u8] = b"the-numbers-of-all-accounts";

/// A command in the transport namespace of a site: whoever has taken over its host.
fn inside(site: &Site, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", site.transport)).arg("--").arg(program);
    command
}

/// The network of the other site at a site, as it is shown there.
fn prefix(site: &Site, network: &str) -> String {
    let networks = site.daemon.ask(&["networks", "--json"]).unwrap();
    let networks = networks.as_array().unwrap();
    let own = networks.iter().find(|one| one["name"] == network).unwrap();
    own["subnets"][0].as_str().unwrap().to_owned()
}

/// Where the provider's gateway offers its service.
fn offered(site: &Site) -> Ipv6Addr {
    let endpoint = site.daemon.ask(&["endpoints", "a-payments", "--json"]).unwrap();
    endpoint["addresses"][0].as_str().unwrap().parse().unwrap()
}

/// Packets that have come out of the encryption at a site.
fn decrypted(site: &Site) -> u64 {
    let links = tool::run(inside(site, "ip").args(["-json", "-s", "link"])).unwrap();
    let links: serde_json::Value = serde_json::from_str(&links).unwrap();
    let links = links.as_array().unwrap();
    let own = links.iter().find(|one| one["ifname"].as_str().unwrap().starts_with("wg-")).unwrap();
    own["stats64"]["rx"]["packets"].as_u64().unwrap()
}

fn drops(site: &Site, reason: &str) -> u64 {
    site.daemon.status().unwrap()["drops"][reason].as_u64().unwrap_or(0)
}

#[test]
fn the_network_between_sites_sees_neither_payload_nor_tenants() {
    let scene = Scene::accepted().unwrap();
    let directory = TempDir::new().unwrap();
    let captures = ["to-site-a", "to-site-b"]
        .map(|device| Capture::start(&scene.router, device, &directory).unwrap());
    for endpoint in ENDPOINT {
        scene
            .a
            .acme()
            .run(|| {
                client::udp_echo(at(endpoint, 7), SECRET, SOON)?;
                client::http_get(at(endpoint, 80), SOON)?;
                client::tcp_echo(at(endpoint, 7), 100_000, 1, SOON)
            })
            .unwrap();
    }
    // Before captures end, so that the files are whole.
    for capture in captures {
        let all = capture.split("udp port 51820", SystemTime::UNIX_EPOCH).unwrap();
        assert!(all.0 > 50, "{all:?} packets");
    }
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(fs::read(&path).unwrap());
        // Everything that crosses is encrypted; the rest finds neighbours.
        let mut command = Command::new("tcpdump");
        command.args(["-nn", "-q", "-r"]).arg(&path);
        let others = "not udp port 51820 and not arp and not icmp6 and not ip6 multicast";
        assert_eq!(tool::run(command.arg(others)).unwrap(), "");
    }
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(!holds(SECRET) && !holds(b"HTTP/1.1") && !holds(b"Welcome to"), "clear text");
    for tenant in [ENDPOINT[0], "10.1.0.2", "10.0.0.10", "10.0.0.240"] {
        let IpAddr::V4(address) = tenant.parse().unwrap() else { panic!("IPv4") };
        assert!(!holds(&address.octets()), "{tenant}");
    }
    let transit = offered(&scene.b).octets();
    assert!(!holds(&transit[..8]), "a transit address");
}

#[test]
fn what_is_replayed_or_injected_reaches_nothing() {
    let scene = Scene::accepted().unwrap();
    let directory = TempDir::new().unwrap();
    let capture = Capture::start(&scene.router, "to-site-b", &directory).unwrap();
    // One at a time: of several, the sender would make one long frame for the device to cut.
    for _ in 0..50 {
        scene.a.acme().run(|| client::udp_echo(at(ENDPOINT[0], 7), SECRET, SOON)).unwrap();
    }
    let from_a = "udp dst port 51820 and src host 192.0.2.2";
    // The kernel hands packets on in blocks, the last one not before a while.
    let written =
        || capture.summary().is_ok_and(|text| text.matches("192.0.2.2.51820 >").count() > 10);
    wait_until(SOON, "the packets are in the capture", written)
        .unwrap_or_else(|error| panic!("{error:#}: {:?}", capture.summary()));
    let (sent, _) = capture.split(from_a, SystemTime::UNIX_EPOCH).unwrap();
    let entries: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(sent > 20, "{sent} packets in {entries:?}");
    let file = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let mut command = Command::new("tcpdump");
    command.args(["-nn", "-x", "-r"]).arg(file).arg(from_a);
    let dump = tool::run(&mut command).unwrap();
    let frames = payloads(&dump);
    assert!(frames.len() > 20, "{} frames", frames.len());
    let seen = scene.b.provider.seen().len();
    let before = decrypted(&scene.b);
    let socket = scene.router.run(|| Ok(UdpSocket::bind("0.0.0.0:51820")?)).unwrap();
    let target: SocketAddr = scene.b.address.parse().unwrap();
    let mut injected = 0_u64;
    for frame in &frames {
        // As it was, and with another byte: in the type, the receiver, the counter, the payload.
        socket.send_to(frame, target).unwrap();
        for at in [0, 5, 9, frame.len() - 1] {
            let mut forged = frame.clone();
            forged[at] ^= 0x55;
            socket.send_to(&forged, target).unwrap();
        }
        injected += 5;
    }
    // It is the last of these packets that passes.
    scene.a.acme().run(|| client::udp_echo(at(ENDPOINT[0], 7), b"ping", SOON)).unwrap();
    let passed = decrypted(&scene.b) - before;
    assert!(passed < injected / 4, "{passed} of {injected} packets came through");
    assert_eq!(scene.b.provider.seen().len(), seen + 1);
    let links = scene.b.daemon.ask(&["site", "show", "--json"]).unwrap();
    assert_eq!(links["sites"][0]["endpoint"], "192.0.2.2:51820", "a replay moves no site");
}

/// The UDP payloads of a hex dump of IPv4 packets.
fn payloads(dump: &str) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in dump.lines() {
        let Some((_, hex)) = line.split_once(":  ").filter(|_| line.starts_with('\t')) else {
            packets.push(Vec::new());
            continue;
        };
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        packets.last_mut().unwrap().extend(bytes);
    }
    packets.retain(|packet| packet.len() > 60);
    packets.into_iter().map(|packet| packet[28..].to_vec()).collect()
}

#[test]
fn a_site_that_was_taken_over_reaches_nothing_but_its_services() {
    let scene = Scene::accepted().unwrap();
    // Site-a is the attacker's: its transport namespace sends whatever it likes.
    let (own, theirs) = (prefix(&scene.a, "site-b"), prefix(&scene.b, "site-a"));
    let service = offered(&scene.b);
    let base: Ipv6Addr = own.split('/').next().unwrap().parse().unwrap();
    let source = Ipv6Addr::from(u128::from(base) + 0x666);
    let strange: Ipv6Addr = "fd00:1::2".parse().unwrap();
    for address in [source, strange] {
        let words = ["address", "add", &format!("{address}/128"), "dev", "lo", "nodad"];
        tool::run(inside(&scene.a, "ip").args(words)).unwrap();
    }
    let wireguard = "wg-dev";
    let name =
        tool::run(inside(&scene.a, "sh").args(["-c", "ls /proc/sys/net/ipv6/conf"])).unwrap();
    let wireguard =
        name.split_whitespace().find(|name| name.starts_with("wg-")).unwrap_or(wireguard);
    // Everything that is behind the other site goes into the link, whatever its gateway thinks.
    for route in ["fd00::/64", "fd00:1::/64", "2001:db8::/32"] {
        let words = ["-6", "route", "replace", route, "dev", wireguard];
        tool::run(inside(&scene.a, "ip").args(words)).unwrap();
    }
    let attack = |from: Ipv6Addr, to: Ipv6Addr, port: u16| {
        let script = format!(
            "import socket\ns = socket.socket(socket.AF_INET6)\ns.settimeout(0.4)\n\
             s.bind(('{from}', 0))\ns.connect(('{to}', {port}))\nprint('open')"
        );
        let output = inside(&scene.a, "python3").args(["-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("open")
    };
    assert!(attack(source, service, 80), "the one service that was accepted");
    let seen = scene.b.provider.seen().len();
    let prefix: Ipv6Addr = theirs.split('/').next().unwrap().parse().unwrap();
    let near = |host: u128| Ipv6Addr::from(u128::from(prefix) + host);
    for (to, port) in [
        // Other ports of it, other addresses of the link, and everything else at the site.
        (service, 22),
        (service, 8080),
        (near(0), 80),
        (near(1), 80),
        (near(0x10), 80),
        ("fd00::10".parse().unwrap(), 8080),
        ("fd00::10".parse().unwrap(), 7777),
        ("fd00:1::2".parse().unwrap(), 80),
    ] {
        assert!(!attack(source, to, port), "{to} port {port}");
    }
    // A source that is not its own ends in the encryption.
    let before = decrypted(&scene.b);
    let socket = format!(
        "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
         s.bind(('{strange}', 0))\nfor _ in range(1000): s.sendto(b'forged', ('{service}', 7))"
    );
    tool::run(inside(&scene.a, "python3").args(["-c", &socket])).unwrap();
    scene.a.acme().run(|| client::udp_echo(at(ENDPOINT[0], 7), b"ping", SOON)).unwrap();
    let passed = decrypted(&scene.b) - before;
    assert!(passed < 200, "{passed} packets came through");
    assert_eq!(scene.b.provider.seen().len(), seen + 1);
    // Its connection is rejected: not even its service is left, and every attempt is counted.
    scene.b.decide("reject", "a-payments").unwrap();
    let before = drops(&scene.b, "rejected");
    assert!(!attack(source, service, 80));
    assert!(drops(&scene.b, "rejected") > before, "{}", scene.b.daemon.status().unwrap()["drops"]);
    scene.a.acme().run(|| client::http_get(at(ENDPOINT[0], 80), NEVER)).unwrap_err();
}
