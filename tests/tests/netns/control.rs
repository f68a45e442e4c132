//! ICMP messages through the gateway, between real stacks.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::errno::Errno;
use privatelink_tests::lab::{Daemon, Host, Lab, Network, Provider, client, tool, wait_until};

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SERVER, SOON, Scene, at, without_target};

/// Pings an address three times with this many bytes.
fn ping(host: &Host, address: &str, bytes: u32) -> std::result::Result<String, tool::ToolError> {
    let mut command = host.command("ping");
    let size = bytes.to_string();
    tool::run(command.args(["-n", "-c", "3", "-i", "0.1", "-W", "2", "-s", &size, address]))
}

#[test]
fn endpoints_answer_ping() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        for bytes in [0, 56, 1400] {
            let said = ping(scene.acme(), endpoint, bytes).unwrap();
            assert!(said.contains(" 0% packet loss"), "{said}");
            assert!(bytes < 16 || said.contains("ttl=64"), "{said}");
        }
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0);
}

#[test]
fn source_addresses_answer_the_provider() {
    let scene = Scene::start().unwrap();
    for source in ["10.0.0.241", "fd00::f1"] {
        let said = ping(scene.lab.host("vendor"), source, 1400).unwrap();
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

#[test]
fn a_pending_endpoint_answers_ping_unless_it_drops() {
    let pending = CONFIG.replace("acceptance = \"automatic\"", "acceptance = \"manual\"");
    for (on_pending, answered) in [("reset", true), ("drop", false)] {
        let line = format!("acceptance = \"manual\"\non_pending = \"{on_pending}\"");
        let config = pending.replace("acceptance = \"manual\"", &line);
        let scene = Scene::with(&config).unwrap();
        for endpoint in ENDPOINT {
            let result = ping(scene.acme(), endpoint, 56);
            assert_eq!(result.is_ok(), answered, "{result:?}");
        }
        let drops = if answered { 0 } else { 6 };
        assert_eq!(scene.daemon.drops().unwrap(), drops);
    }
}

/// The configuration with listeners whose target port is closed.
fn with_closed_ports() -> String {
    let listener = |protocol| {
        format!("[[service.listener]]\nprotocol = \"{protocol}\"\nport = 9\ntarget_port = 9\n\n")
    };
    let before = "[[service.target]]";
    CONFIG.replacen(before, &(listener("tcp") + &listener("udp") + before), 1)
}

/// Sends a datagram, and returns the error that comes back for it.
fn refusal(server: SocketAddr, payload: &[u8]) -> Result<Option<i32>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.send(payload)?;
    match socket.recv(&mut [0; 64]) {
        Ok(length) => bail!("{server} answered with {length} bytes"),
        Err(error) => Ok(error.raw_os_error()),
    }
}

#[test]
fn a_client_learns_of_a_closed_port_of_the_target() {
    let scene = Scene::with(&with_closed_ports()).unwrap();
    for endpoint in ENDPOINT {
        let closed = at(endpoint, 9);
        let error = scene.acme().run(|| refusal(closed, b"anybody there?")).unwrap();
        assert_eq!(error, Some(Errno::ECONNREFUSED as i32), "UDP to {closed}");
        let start = Instant::now();
        let connected = scene.acme().run(|| Ok(TcpStream::connect_timeout(&closed, SOON))).unwrap();
        assert_eq!(connected.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0);
}

#[test]
fn a_client_learns_of_a_closed_port_across_families() {
    for (endpoint, target) in ENDPOINT.into_iter().zip(SERVER) {
        let scene = Scene::with(&without_target(&with_closed_ports(), target)).unwrap();
        let closed = at(endpoint, 9);
        let error = scene.acme().run(|| refusal(closed, b"anybody there?")).unwrap();
        assert_eq!(error, Some(Errno::ECONNREFUSED as i32), "UDP to {closed}");
        assert_eq!(scene.daemon.drops().unwrap(), 0);
    }
}

/// The target, behind a router of its network.
const FAR: [[&str; 2]; 2] = [["10.2.0.1/24", "10.2.0.10/24"], ["fd00:2::1/64", "fd00:2::10/64"]];

/// A gateway whose target is behind a link of 1,280 bytes; `change` changes its configuration.
fn narrow(change: impl Fn(String) -> String) -> Result<(Daemon, Provider, Lab)> {
    let mut lab = Lab::builder()
        .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(
            Network::new("vendor")
                .host("router", &["10.0.0.1/16", "fd00::1/64"])
                .gateway(&["10.0.0.2/16", "fd00::2/64"]),
        )
        .build()?;
    lab.put_behind("router", "far", &FAR, 1280)?;
    let provider = Provider::start(lab.host("far"))?;
    let subnets = "subnets = [\"10.0.0.0/16\", \"fd00::/64\"]";
    let config = CONFIG
        .replace(subnets, &format!("{subnets}\ngateway = [\"10.0.0.1\", \"fd00::1\"]"))
        .replace("address = \"10.0.0.10\"", "address = \"10.2.0.10\"")
        .replace("address = \"fd00::10\"", "address = \"fd00:2::10\"");
    let daemon = Daemon::start(lab.gateway(), &change(config))?;
    Ok((daemon, provider, lab))
}

/// Whether a client's stack has learned the MTU of the narrow link.
fn knows_the_narrow_link(client: &Host, endpoint: &str) -> Result<bool> {
    knows_mtu(client, endpoint, 1280)
}

fn knows_mtu(client: &Host, endpoint: &str, mtu: u32) -> Result<bool> {
    let route = client.namespace().ip(&format!("route get {endpoint}"))?;
    Ok(route.contains(&format!("mtu {mtu}")))
}

/// The headers differ by 20 bytes, and so does the MTU that the client learns.
#[test]
fn the_mtu_of_a_narrow_link_is_discovered_across_families() {
    let far = ["10.2.0.10", "fd00:2::10"];
    for ((endpoint, target), mtu) in ENDPOINT.into_iter().zip(far).zip([1260, 1300]) {
        let (daemon, _provider, lab) = narrow(|config| without_target(&config, target)).unwrap();
        let acme = lab.host("acme");
        let echo = at(endpoint, 7);
        let error = acme.run(|| refusal(echo, &[0x5a; 1400])).unwrap();
        assert_eq!(error, Some(Errno::EMSGSIZE as i32), "{echo}");
        assert!(knows_mtu(acme, endpoint, mtu).unwrap());
        acme.run(|| client::tcp_echo(echo, 3_000_001, 7, SOON)).unwrap();
        assert_eq!(daemon.drops().unwrap(), 0);
    }
}

/// IPv6 routers do not fragment, and report an error to the sender of the fragments. A sender over
/// IPv4 has to leave room for the fragment header, too.
#[test]
fn the_mtu_of_a_narrow_link_is_discovered_by_a_sender_of_fragments() {
    for (endpoint, mtu) in ENDPOINT.into_iter().zip([1252, 1280]) {
        let (daemon, _provider, lab) =
            narrow(|config| without_target(&config, "10.2.0.10")).unwrap();
        let acme = lab.host("acme");
        let echo = at(endpoint, 7);
        let error = acme.run(|| refusal(echo, &[0x5a; 4000])).unwrap();
        assert_eq!(error, Some(Errno::EMSGSIZE as i32), "{echo}");
        // A packet that fits the gateway's own link may be too long for the one behind it.
        wait_until(SOON, "the client knows the MTU", || {
            acme.run(|| client::udp_echo(echo, &[0x5a; 4000], NEVER)).is_ok()
        })
        .unwrap();
        assert!(knows_mtu(acme, endpoint, mtu).unwrap(), "{}", daemon.status().unwrap());
    }
}

#[test]
fn the_mtu_of_a_narrow_link_behind_the_gateway_is_discovered() {
    let (daemon, _provider, lab) = narrow(|config| config).unwrap();
    let _captures = lab.capture().unwrap();
    let acme = lab.host("acme");
    for endpoint in ENDPOINT {
        let echo = at(endpoint, 7);
        // The stack sets "don't fragment", and reports why the datagram was lost.
        let error = acme.run(|| refusal(echo, &[0x5a; 1400])).unwrap();
        assert_eq!(error, Some(Errno::EMSGSIZE as i32), "{echo}");
        acme.run(|| client::udp_echo(echo, &[0x5a; 1200], SOON)).unwrap();
        assert!(knows_the_narrow_link(acme, endpoint).unwrap());
        // Forgets the MTU, so that TCP has to discover it again.
        let family = if echo.is_ipv4() { "-4" } else { "-6" };
        acme.namespace().ip(&format!("{family} route flush cache")).unwrap();
        assert!(!knows_the_narrow_link(acme, endpoint).unwrap());
        acme.run(|| client::tcp_echo(echo, 3_000_001, 7, SOON)).unwrap();
        assert!(knows_the_narrow_link(acme, endpoint).unwrap());
    }
    assert_eq!(daemon.drops().unwrap(), 0);
}
