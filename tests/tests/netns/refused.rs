//! What real stacks make of the gateway's answers to refused packets.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    io::{self, Read, Write},
    net::UdpSocket,
};

use privatelink_tests::lab::{Daemon, Host, Lab, Network, Provider, client, tool, wait_until};

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, Scene, at, everything_works};
use crate::metrics;

/// The kind of the I/O error that an attempt ended with.
fn kind<T>(attempt: anyhow::Result<T>) -> io::ErrorKind {
    match attempt {
        Ok(_) => panic!("it worked"),
        Err(error) => match error.downcast_ref::<io::Error>() {
            Some(cause) => cause.kind(),
            None => panic!("{error:#}"),
        },
    }
}

/// Each attempt to reach a port of the endpoint fails as soon as the answer arrives.
fn is_refused_at_once(host: &Host, port: u16) {
    for endpoint in ENDPOINT {
        let to = at(endpoint, port);
        let tcp = host.run(|| client::connect(to, SOON));
        assert_eq!(kind(tcp), io::ErrorKind::ConnectionRefused, "{to} over TCP");
        let udp = kind(host.run(|| client::udp_echo(to, b"hello?", SOON)));
        assert_ne!(udp, io::ErrorKind::WouldBlock, "{to} over UDP had no answer");
    }
}

#[test]
fn a_port_without_a_listener_is_refused_at_once() {
    let scene = Scene::start().unwrap();
    is_refused_at_once(scene.acme(), 22);
    everything_works(scene.acme()).unwrap();
}

/// The gateway limits ICMP errors by network: of a flood only a part is answered, every datagram is
/// either answered or counted as left out, and a client that asks once afterwards gets its answer.
#[test]
fn a_flood_of_refused_datagrams_is_answered_in_part() {
    const DATAGRAMS: u32 = 20_000;
    let scene = Scene::with(&metrics::config(9469)).unwrap();
    let closed = at(ENDPOINT[0], 22);
    // Errors do not reach a socket that is not connected, so that it goes on.
    let flood = scene.acme().run(|| Ok(UdpSocket::bind("0.0.0.0:0")?)).unwrap();
    let sent = (0..DATAGRAMS).filter(|_| flood.send_to(b"hello?", closed).is_ok()).count() as f64;
    let count = |name: &str, labels: &[(&str, &str)]| {
        metrics::scrape(&scene).unwrap().sum(&format!("privatelink_{name}_total"), labels)
    };
    let refused = || count("drops", &[("reason", "no_listener")]);
    wait_until(SOON, "every datagram to be refused", || refused() == Some(sent))
        .unwrap_or_else(|error| panic!("{error}: {:?} of {sent}", refused()));
    let answered = count("endpoint_answers", &[("endpoint", "acme-web")]).unwrap();
    let left_out = count("icmp_errors_left_out", &[]).unwrap();
    assert!(answered > 0.0 && left_out > 0.0, "{answered} answered, {left_out} left out");
    assert_eq!(answered + left_out, sent, "{answered} answered, {left_out} left out");
    is_refused_at_once(scene.acme(), 22);
}

/// The configuration with `to` instead of `from`.
fn config(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from), "{from}");
    CONFIG.replace(from, to)
}

#[test]
fn a_pending_connection_is_refused_at_once() {
    let lab = crate::fixture::lay().unwrap();
    let _captures = lab.capture().unwrap();
    let manual = config("acceptance = \"automatic\"", "acceptance = \"manual\"");
    let _daemon = Daemon::start(lab.gateway(), &manual).unwrap();
    is_refused_at_once(lab.host("acme"), 7);
}

#[test]
fn a_rejected_connection_is_reset_and_refused_at_once() {
    let scene = Scene::start().unwrap();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 10_000, 1).unwrap();
    let others = config("allow = [\"acme\", \"globex\"]", "allow = [\"globex\"]");
    scene.daemon.write_config(&others).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    is_refused_at_once(scene.acme(), 7);
    assert_eq!(speak_until_it_fails(&flow).kind(), io::ErrorKind::ConnectionReset);
}

/// The error that ends a connection whose other end is gone.
fn speak_until_it_fails(mut stream: &std::net::TcpStream) -> io::Error {
    let mut byte = [0; 1];
    match stream.write_all(b"?").and_then(|()| stream.read_exact(&mut byte)) {
        Ok(()) => panic!("it still works"),
        Err(error) => error,
    }
}

#[test]
fn a_flow_that_the_gateway_lost_is_reset() {
    let mut scene = Scene::start().unwrap();
    let flows = ENDPOINT.map(|endpoint| {
        let flow = scene.acme().run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&flow, 10_000, 1).unwrap();
        flow
    });
    scene.daemon.down().unwrap();
    let _second = Daemon::start(scene.lab.gateway(), CONFIG).unwrap();
    for flow in &flows {
        assert_eq!(speak_until_it_fails(flow).kind(), io::ErrorKind::ConnectionReset);
    }
    everything_works(scene.acme()).unwrap();
}

/// The narrowest MTU that IPv6 allows.
const NARROW: u32 = 1280;

/// The networks of the scene, with another MTU in one of them.
fn lay_with(acme: u32, vendor: u32) -> Lab {
    let consumer = Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]);
    let provider = Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]);
    Lab::builder()
        .network(consumer.mtu(acme))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(provider.mtu(vendor))
        .build()
        .unwrap()
}

fn too_big(daemon: &Daemon) -> u64 {
    daemon.status().unwrap()["drops"]["too_big"].as_u64().unwrap()
}

/// TCP never sends a packet that is too large: both ends learn the maximum segment size.
#[test]
fn segments_fit_a_narrow_link_on_either_side() {
    for (acme, vendor) in [(1500, NARROW), (NARROW, 1500)] {
        let lab = lay_with(acme, vendor);
        let _captures = lab.capture().unwrap();
        let _provider = Provider::start(lab.host("vendor")).unwrap();
        let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
        for endpoint in ENDPOINT {
            lab.host("acme").run(|| client::tcp_echo(at(endpoint, 7), 1_000_000, 5, SOON)).unwrap();
        }
        assert_eq!(too_big(&daemon), 0, "acme {acme}, vendor {vendor}");
    }
}

/// A sender of large datagrams learns the MTU of the other side.
#[test]
fn senders_of_datagrams_learn_the_path_mtu() {
    let long = [7; 1400];
    let learnt = |host: &Host, to: &str| {
        let routes = host.namespace().ip(&format!("route get {to}"));
        routes.is_ok_and(|routes| routes.contains(&format!("mtu {NARROW}")))
    };
    let lab = lay_with(1500, NARROW);
    let _captures = lab.capture().unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for endpoint in ENDPOINT {
        let acme = lab.host("acme");
        let any = if endpoint.contains(':') { "::" } else { "0.0.0.0" };
        let socket = acme.run(|| Ok(UdpSocket::bind(at(any, 0))?)).unwrap();
        wait_until(SOON, "the client learns the MTU", || {
            // A send may report the error of the one before.
            let _sent = socket.send_to(&long, at(endpoint, 7));
            learnt(acme, endpoint)
        })
        .unwrap();
    }
    assert!(too_big(&daemon) >= 2);
    drop((daemon, lab));

    let lab = lay_with(NARROW, 1500);
    let _captures = lab.capture().unwrap();
    let _daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for (endpoint, server) in ENDPOINT.into_iter().zip(SERVER) {
        let (acme, vendor) = (lab.host("acme"), lab.host("vendor"));
        let listening = vendor.run(|| Ok(UdpSocket::bind(at(server, 7777))?)).unwrap();
        listening.set_read_timeout(Some(SOON)).unwrap();
        let any = if endpoint.contains(':') { "::" } else { "0.0.0.0" };
        let socket = acme.run(|| Ok(UdpSocket::bind(at(any, 0))?)).unwrap();
        wait_until(SOON, "the first datagram crosses", || {
            let _sent = socket.send_to(b"hello", at(endpoint, 7));
            listening.peek_from(&mut [0; 16]).is_ok()
        })
        .unwrap();
        let (_, source) = listening.recv_from(&mut [0; 16]).unwrap();
        wait_until(SOON, "the server learns the MTU", || {
            let _sent = listening.send_to(&long, source);
            learnt(vendor, &source.ip().to_string())
        })
        .unwrap();
    }
}

/// Traceroute shows the endpoint's address for the gateway, and once more for what is behind it.
#[test]
fn traceroute_shows_the_gateway_and_what_is_behind_it() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        let mut command = scene.acme().command("traceroute");
        command.args(["-n", "-T", "-p", "80", "-q", "1", "-w", "5", "-m", "5", endpoint]);
        let shown = tool::run(&mut command).unwrap();
        let hops: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(hops.len(), 2, "{shown}");
        assert!(hops.iter().all(|hop| hop.contains(endpoint)), "{shown}");
    }
}
