//! The counters equal what the sockets sent, headers included: over refusals, resets and a restart
//! of the daemon.

#![expect(clippy::unwrap_used, reason = "a failure in what a test shares is one of the test")]

use std::{
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use privatelink_tests::lab::{Counter, Scrape, Sent, client, wait_until};

use crate::{
    fixture::{ENDPOINT, SOON, SOURCES, Scene, at},
    flow_log::{place, records, sums},
    metrics::{config, scrape},
};

/// The headers of a datagram over IPv4 and over IPv6.
const DATAGRAM: [u64; 2] = [28, 48];
const DATAGRAMS: u64 = 25;
const LENGTH: usize = 333;
const STREAM: u64 = 300_000;

/// A listener whose target port is closed.
const CLOSED: u16 = 9;

fn with_closed_port(log: &Path) -> String {
    let listener =
        format!("[[service.listener]]\nprotocol = \"tcp\"\nport = {CLOSED}\n\n[[service.target]]");
    let log = format!("\n[gateway.flow_log]\nto = \"{}\"\ninterval = \"1s\"\n", log.display());
    config(9469).replacen("[[service.target]]", &listener, 1) + &log
}

/// Sends datagrams and receives their echoes.
fn datagrams(to: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind((if to.is_ipv4() { "0.0.0.0" } else { "::" }, 0))?;
    socket.connect(to)?;
    for _ in 0..DATAGRAMS {
        client::udp_exchange(&socket, &[0x5a; LENGTH], SOON)?;
    }
    Ok(())
}

/// Ends a connection with a reset.
fn reset(stream: TcpStream) -> Result<()> {
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(stream);
    Ok(())
}

/// Streams, datagrams and a reset by each end, over each family.
fn speak(scene: &Scene) -> Result<()> {
    scene.acme().run(|| {
        for endpoint in ENDPOINT {
            client::tcp_echo(at(endpoint, 7), STREAM, 1, SOON)?;
            client::http_get(at(endpoint, 80), SOON)?;
            datagrams(at(endpoint, 7))?;
            let stream = client::connect(at(endpoint, 7), SOON)?;
            client::tcp_exchange(&stream, 1_000, 2)?;
            reset(stream)?;
            let refused = client::connect(at(endpoint, CLOSED), SOON);
            ensure!(refused.is_err(), "something listens on the closed port");
        }
        Ok(())
    })
}

/// The metrics' counts in a direction.
fn counted(scrape: &Scrape, of: &str, direction: &str) -> Result<Sent> {
    let number = |what: &str| {
        let name = format!("privatelink_{of}_{what}_total");
        let sum = scrape.sum(&name, &[("direction", direction)]);
        // Counts here are far from what a float rounds.
        sum.map(|sum| sum as u64).with_context(|| format!("no {name}"))
    };
    Ok(Sent { packets: number("packets")?, bytes: number("bytes")? })
}

/// Waits until the endpoints' counts are exactly these, both ways.
fn comes_to(scene: &Scene, expected: &mut impl FnMut() -> Result<[Sent; 2]>) -> Result<[Sent; 2]> {
    let mut last = String::new();
    let mut found = None;
    wait_until(SOON, "the metrics are what was sent", || {
        let result = expected().and_then(|expected| {
            let scrape = scrape(scene)?;
            let is = ["in", "out"].map(|way| counted(&scrape, "endpoint", way));
            let [to_target, to_client] = is;
            let is = [to_target?, to_client?];
            ensure!(is == expected, "counted {is:?}, sent {expected:?}");
            Ok(is)
        });
        last = result.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        found = result.ok();
        found.is_some()
    })
    .context(last)?;
    found.context("nothing was counted")
}

#[test]
fn the_counters_equal_what_sockets_send() {
    let (_directory, log) = place();
    let mut scene = Scene::with(&with_closed_port(&log)).unwrap();
    let lab = scene.lab.host("acme").clone();
    let vendor = scene.lab.host("vendor").clone();
    let from_client = Counter::of(&lab, ENDPOINT[0], ENDPOINT[1]).unwrap();
    let from_target = Counter::of(&vendor, SOURCES[0], SOURCES[1]).unwrap();
    // Refused packets have a separate count.
    let mut refused = Sent::default();
    let sent = |refused: Sent| -> Result<[Sent; 2]> {
        Ok([from_client.sent()? - refused, from_target.sent()?])
    };

    speak(&scene).unwrap();
    let first = comes_to(&scene, &mut || sent(refused)).unwrap();
    let payload = 2 * (STREAM + 1_000) + 2 * DATAGRAMS * LENGTH as u64;
    for way in first {
        // Plus headers: at least 20 bytes for IP, and 8 for UDP.
        let least = payload + way.packets * 28;
        assert!((least..payload * 5 / 4).contains(&way.bytes), "{way:?} for {payload} bytes");
    }

    // The bytes of datagrams are known exactly.
    let mut last = first;
    for (endpoint, headers) in ENDPOINT.into_iter().zip(DATAGRAM) {
        scene.acme().run(|| datagrams(at(endpoint, 7))).unwrap();
        let now = comes_to(&scene, &mut || sent(refused)).unwrap();
        let bytes = DATAGRAMS * (headers + LENGTH as u64);
        assert_eq!([now[0] - last[0], now[1] - last[1]], [Sent { packets: DATAGRAMS, bytes }; 2]);
        last = now;
    }

    // While the daemon is dead, too.
    scene.daemon.kill();
    speak(&scene).unwrap();
    scene.daemon.run().unwrap();
    speak(&scene).unwrap();
    comes_to(&scene, &mut || sent(refused)).unwrap();

    // One SYN each, or more on a slow machine; each is answered.
    let before = from_client.sent().unwrap();
    for endpoint in ENDPOINT {
        scene.acme().run(|| client::connect(at(endpoint, 1), SOON)).unwrap_err();
    }
    refused = refused + (from_client.sent().unwrap() - before);
    assert!(refused.packets >= 2, "{refused:?}");
    speak(&scene).unwrap();
    let all = comes_to(&scene, &mut || sent(refused)).unwrap();

    events_are_counted(&scrape(&scene).unwrap(), refused);
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    targets_come_to(&scene, all);
    records_come_to(&log, all);
}

/// The flow log has the same sums: each packet is in one record, also over the restart of the
/// daemon.
fn records_come_to(log: &Path, [to_target, to_client]: [Sent; 2]) {
    let expected = [to_target.packets, to_target.bytes, to_client.packets, to_client.bytes];
    let mut last = [0; 4];
    wait_until(SOON, "the flow log has what the endpoints have", || {
        last = sums(&records(log), |_| true);
        last == expected
    })
    .unwrap_or_else(|error| panic!("{error}: {last:?} instead of {expected:?}"));
}

/// Counts of four rounds over two families, two more flows, and refused packets.
fn events_are_counted(scraped: &Scrape, refused: Sent) {
    let sum = |name: &str, labels: &[(&str, &str)]| scraped.sum(name, labels).unwrap();
    let no_listener = [("endpoint", "acme-web"), ("reason", "no_listener")];
    for name in ["endpoint_drops_total", "endpoint_answers_total", "drops_total"] {
        let reason = if name.contains("drops") { &no_listener[1..] } else { &[] };
        assert_eq!(sum(&format!("privatelink_{name}"), reason), refused.packets as f64, "{name}");
    }
    // A retransmitted SYN may be refused again.
    let resets = |from| sum("privatelink_endpoint_resets_total", &[("from", from)]);
    assert_eq!(resets("consumer"), 8.0);
    assert!(resets("target") >= 8.0, "{}", resets("target"));
    assert_eq!(resets("target"), sum("privatelink_target_resets_total", &[]));
    assert_eq!(resets("target"), sum("privatelink_target_refused_flows_total", &[]));
    let flows = sum("privatelink_endpoint_new_flows_total", &[]);
    assert!(flows >= 42.0, "{flows}");
    assert_eq!(flows, sum("privatelink_target_new_flows_total", &[]));
}

/// Once all flows have ended, their targets have the same sums as the endpoints.
fn targets_come_to(scene: &Scene, all: [Sent; 2]) {
    let mut last = String::new();
    wait_until(SOON, "the targets have what the endpoints have", || {
        let targets = scrape(scene).and_then(|scrape| {
            let [to, from] = ["in", "out"].map(|way| counted(&scrape, "target_ended", way));
            Ok([to?, from?])
        });
        last = format!("{targets:?}");
        targets.is_ok_and(|targets| targets == all)
    })
    .unwrap_or_else(|error| panic!("{error}: {last} instead of {all:?}"));
    assert_eq!(scrape(scene).unwrap().sum("privatelink_endpoint_active_flows", &[]), Some(0.0));
}
