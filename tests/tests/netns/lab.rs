//! The lab itself: it carries traffic when the gateway's kernel forwards, and none when it does
//! not.
//!
//! Without this control, "cannot reach" in the other tests could mean a broken lab.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use privatelink_tests::lab::{
    Capture, Lab, Network, Provider, client,
    provider::{ECHO_PORT, GREETING, HTTP_PORT, Kind},
    tool,
};

const SOON: Duration = Duration::from_secs(5);
const NEVER: Duration = Duration::from_millis(300);

#[test]
fn a_forwarding_kernel_carries_page_and_echoes() {
    let lab = Lab::quickstart().unwrap();
    let _captures = lab.capture().unwrap();
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        lab.gateway().set(setting, "1").unwrap();
    }
    let provider = Provider::start(lab.host("vendor")).unwrap();
    let consumer = lab.host("acme");
    for (index, server) in lab.host("vendor").addresses().into_iter().enumerate() {
        let http = SocketAddr::new(server, HTTP_PORT);
        let echo = SocketAddr::new(server, ECHO_PORT);
        let page = consumer.run(|| client::http_get(http, SOON)).unwrap();
        assert_eq!(page.status, 200);
        assert!(page.body.contains(GREETING), "{}", page.body);
        assert_eq!(page.seen_from.unwrap().ip(), consumer.addresses()[index]);
        consumer.run(|| client::udp_echo(echo, b"ping", SOON)).unwrap();
        let echoed = consumer.run(|| client::tcp_echo(echo, 1_000_000, 7, SOON)).unwrap();
        assert_eq!(echoed.bytes, 1_000_000);

        let mut curl = consumer.command("curl");
        let url = format!("http://{http}/");
        let page = tool::run(curl.args(["--silent", "--show-error", "--max-time", "5", &url]));
        assert!(page.unwrap().contains(GREETING));
    }
    let kinds: Vec<_> = provider.seen().iter().map(|seen| seen.kind).collect();
    let once = [Kind::Http, Kind::UdpEcho, Kind::TcpEcho, Kind::Http];
    assert_eq!(kinds, [once, once].concat());
}

#[test]
fn without_forwarding_nothing_crosses() {
    let lab = Lab::quickstart().unwrap();
    let provider = Provider::start(lab.host("vendor")).unwrap();
    for server in lab.host("vendor").addresses() {
        let http = SocketAddr::new(server, HTTP_PORT);
        let echo = SocketAddr::new(server, ECHO_PORT);
        let consumer = lab.host("acme");
        consumer.run(|| client::connect(http, NEVER)).unwrap_err();
        consumer.run(|| client::udp_echo(echo, b"ping", NEVER)).unwrap_err();
    }
    assert_eq!(provider.seen(), []);
}

#[test]
fn hosts_of_one_network_share_a_switch() {
    let network = Network::new("vendor")
        .host("one", &["10.0.0.10/16", "fd00::10/64"])
        .host("two", &["10.0.0.11/16", "fd00::11/64"])
        .gateway(&["10.0.0.1/16", "fd00::1/64"]);
    let lab = Lab::builder().network(network).build().unwrap();
    let _one = Provider::start(lab.host("one")).unwrap();
    for server in lab.host("one").addresses() {
        let echo = SocketAddr::new(server, ECHO_PORT);
        lab.host("two").run(|| client::tcp_echo(echo, 10_000, 1, SOON)).unwrap();
        lab.gateway().run(|| client::udp_echo(echo, b"ping", SOON)).unwrap();
    }
}

#[test]
fn overlapping_labs_and_networks_do_not_meet() {
    let labs: Vec<_> = (0..2)
        .map(|_| {
            Lab::builder()
                .network(Network::consumer("acme"))
                .network(Network::consumer("globex"))
                .build()
                .unwrap()
        })
        .collect();
    // All four hosts hold the same address and port at the same time.
    let mut sockets = Vec::new();
    for lab in &labs {
        for name in ["acme", "globex"] {
            let own = IpAddr::from([10, 1, 0, 2]);
            sockets.push(lab.host(name).run(|| Ok(UdpSocket::bind((own, 53))?)).unwrap());
        }
    }
    assert_eq!(sockets.len(), 4);
}

#[test]
fn a_dropped_lab_leaves_nothing() {
    let lab = Lab::quickstart().unwrap();
    let paths: Vec<_> = lab.hosts().map(|host| host.namespace().path()).collect();
    let gateway = lab.gateway().path();
    drop(lab);
    for path in paths.into_iter().chain([gateway]) {
        assert!(!std::path::Path::new(&path).exists(), "{path} is still there");
    }
}

#[test]
fn a_panic_leaves_nothing_either() {
    let (send, receive) = std::sync::mpsc::channel();
    let doomed = std::thread::spawn(move || {
        let lab = Lab::quickstart().unwrap();
        send.send(lab.gateway().path()).unwrap();
        panic!("on purpose");
    });
    doomed.join().unwrap_err();
    let path = receive.recv().unwrap();
    assert!(!std::path::Path::new(&path).exists(), "{path} is still there");
}

#[test]
fn a_capture_shows_what_crossed() {
    let lab = Lab::quickstart().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let capture = Capture::start(lab.gateway(), "veth-acme", &directory).unwrap();
    let gateway = SocketAddr::from(([10, 1, 0, 1], 9));
    lab.host("acme").run(|| client::udp_echo(gateway, b"ping", NEVER)).unwrap_err();
    privatelink_tests::lab::wait_until(SOON, "the packet is in the capture", || {
        capture.summary().is_ok_and(|text| text.contains("10.1.0.1.9"))
    })
    .unwrap();
}
