//! Names that the gateway does not serve, and the name servers to which it forwards them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::Result;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use privatelink_tests::lab::{Process, wait_until};

use super::{NAME, SERVER, Scene, config, limits::query};
use crate::fixture::{CLIENT, SOON, at};

/// Starts a name server on a host, with one address and a long text.
fn dnsmasq(scene: &Scene, host: &str, address: &str) -> Process {
    let mut command = scene.lab.host(host).command("dnsmasq");
    let text = format!("--txt-record=long.example.com,{}", vec!["x".repeat(250); 6].join(","));
    command.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args(["--user=root", "--pid-file=", "--bind-interfaces", "--log-queries"]);
    command.arg(format!("--listen-address={}", CLIENT[0]));
    command.arg(format!("--address=/example.com/{address}"));
    command.arg(text);
    Process::spawn("dnsmasq", command).unwrap()
}

#[test]
fn each_networks_own_name_server_is_asked() {
    let forwarders = format!("dns = true\nforwarders = [\"10.1.0.99\", \"{}\"]\n", CLIENT[0]);
    let scene = Scene::start(&config().replace("dns = true\n", &forwarders));
    let _acme = dnsmasq(&scene, "acme", "192.0.2.1");
    let _globex = dnsmasq(&scene, "globex", "192.0.2.2");
    for (host, address) in [("acme", "192.0.2.1"), ("globex", "192.0.2.2")] {
        // The first forwarder's address does not exist.
        wait_until(SOON, "the name server answers", || {
            scene.dig(host, &["www.example.com", "+timeout=5"]) == [address]
        })
        .unwrap();
        assert_eq!(scene.dig(host, &["+tcp", "www.example.com", "+timeout=5"]), [address]);
        let long = scene.dig(host, &["long.example.com", "TXT", "+timeout=5"]).join("");
        assert!(long.len() > 1_500, "{long}");
        assert_eq!(scene.dig(host, &[NAME]).len(), 1, "the gateway's own name");
    }
    // A private name is never forwarded, nor is a query without recursion.
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    wait_until(SOON, "the name is gone", || scene.code("acme", &[NAME]) == "NXDOMAIN").unwrap();
    assert_eq!(scene.code("acme", &["www.example.com", "+norecurse"]), "REFUSED");
}

/// Sends queries over TCP at once, and returns the identifiers of the answers as they come.
fn pipelined(queries: &[Vec<u8>]) -> Result<Vec<u16>> {
    let mut stream = TcpStream::connect_timeout(&at(SERVER[0], 53), SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    let framed = queries.iter().map(|query| {
        let length = u16::try_from(query.len()).unwrap().to_be_bytes();
        [&length[..], query].concat()
    });
    stream.write_all(&framed.collect::<Vec<_>>().concat())?;
    let mut identifiers = Vec::new();
    for _ in queries {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        identifiers.push(u16::from_be_bytes([answer[0], answer[1]]));
    }
    Ok(identifiers)
}

#[test]
fn an_answer_over_tcp_does_not_wait_for_a_slow_forwarder() {
    // The forwarder's address does not exist.
    let forwarders = "dns = true\nforwarders = [\"10.1.0.99\"]\n";
    let scene = Scene::start(&config().replace("dns = true\n", forwarders));
    let queries = [query("www.example.com", 1), query(NAME, 2), query(NAME, 3)];
    let order = scene.lab.host("acme").run(|| pipelined(&queries)).unwrap();
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn a_name_is_served_once_its_owner_agrees() {
    let proof = "name = \"gw-test\"\ndns_proof = \"127.0.0.1\"\n";
    let scene = Scene::start(&config().replacen("name = \"gw-test\"\n", proof, 1));
    let problems = || scene.daemon.status().unwrap()["problems"].to_string();
    let record = "_privatelink.web.internal IN TXT \\\"privatelink=vendor\\\"";
    wait_until(SOON, "the status tells what is missing", || {
        problems().contains(record) && problems().contains("127.0.0.1 must return")
    })
    .unwrap();
    assert_eq!(scene.code("acme", &[NAME]), "NXDOMAIN");

    let owner = |text: &str| {
        let mut command = scene.lab.gateway().command("dnsmasq");
        command.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
        command.args(["--user=root", "--pid-file=", "--bind-interfaces", "--interface=lo"]);
        command.args(["--listen-address=127.0.0.1", "--except-interface=veth-acme"]);
        command.arg(format!("--txt-record=_privatelink.web.internal,{text}"));
        Process::spawn("dnsmasq", command).unwrap()
    };
    let other = owner("privatelink=somebody-else");
    wait_until(SOON, "the owner has been asked", || problems().contains("no such record")).unwrap();
    assert_eq!(scene.code("acme", &["any.web.internal"]), "NXDOMAIN");
    drop(other);
    let _owner = owner("privatelink=vendor");
    let patience = 2 * SOON;
    wait_until(patience, "the name is served", || scene.dig("acme", &[NAME]) == ["10.1.0.50"])
        .unwrap();
    assert_eq!(scene.dig("acme", &["any.web.internal"]), ["10.1.0.50"]);
    wait_until(SOON, "the status is clean", || problems() == "[]").unwrap();
    let listed = scene.daemon.ask(&["events", "--kind", "dns-conflict", "--json"]).unwrap();
    let kinds: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["dns-conflict", "dns-conflict-ended"], "{listed}");
}

/// Binds the DNS port on acme's interface, at an address that the gateway has on other interfaces.
fn bind_dns_port() -> Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let socket = socket::socket(family, kind, SockFlag::empty(), None)?;
    socket::setsockopt(&socket, sockopt::BindToDevice, &"veth-acme".into())?;
    let address = SockaddrStorage::from(at(SERVER[0], 53));
    socket::bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

#[test]
fn names_follow_the_gateways_addresses_and_interfaces() {
    let scene = Scene::start(&config());
    let gateway = scene.lab.gateway();
    let own = format!("address del {}/16 dev veth-acme", SERVER[0]);
    gateway.ip(&own).unwrap();
    let by_v6 = format!("@{}", SERVER[1]);
    wait_until(SOON, "the other address goes on", || {
        super::dig(scene.lab.host("acme"), &["+short", &by_v6, NAME]) == ["10.1.0.50"]
    })
    .unwrap();
    assert_eq!(scene.dig("globex", &[NAME]), ["10.1.0.60"]);
    gateway.ip(&format!("address del {}/64 dev veth-acme", SERVER[1])).unwrap();
    let problems = || scene.daemon.status().unwrap()["problems"].to_string();
    wait_until(SOON, "the status shows the problem", || problems().contains("`ip address add`"))
        .unwrap();

    // The address returns, but another program has bound it first.
    let taken = gateway.run(bind_dns_port).unwrap();
    gateway.ip(&format!("address add {}/16 dev veth-acme", SERVER[0])).unwrap();
    wait_until(SOON, "the status shows the problem", || problems().contains("another program"))
        .unwrap();
    drop(taken);
    wait_until(SOON, "names are served", || scene.dig("acme", &[NAME]) == ["10.1.0.50"]).unwrap();
    wait_until(SOON, "the status is clean", || problems() == "[]").unwrap();

    // The interface is renamed, and renamed back.
    gateway.ip("link set veth-acme name gone").unwrap();
    wait_until(SOON, "the status shows the problem", || {
        problems().contains("no interface veth-acme")
    })
    .unwrap();
    gateway.ip("link set gone name veth-acme").unwrap();
    wait_until(SOON, "names are served", || scene.dig("acme", &[NAME]) == ["10.1.0.50"]).unwrap();
}
