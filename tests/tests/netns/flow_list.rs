//! Many flows: their list is made quickly, and keeps nobody waiting meanwhile.

use std::{
    env,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use privatelink_tests::lab::Daemon;

use crate::fixture::{CLIENT, CONFIG, ENDPOINT, SERVER, SOON, at, ip, lay};

/// The ports of the service; each client's port speaks to all of them.
const PORTS: std::ops::Range<u16> = 9_000..9_020;
/// A build without optimizations on a busy machine; what this catches is work that grows with the
/// square of the flows, or that the daemon's loop waits for.
const LIST: Duration = Duration::from_secs(30);

/// How many flows there are; `FLOWS=1000000` asks for more.
fn flows() -> u64 {
    env::var("FLOWS").ok().and_then(|flows| flows.parse().ok()).unwrap_or(20_000)
}

/// Opens so many flows, one from each port to each of the service's.
fn open(clients: u16) -> Result<()> {
    for port in 0..clients {
        let socket = UdpSocket::bind((ip(CLIENT[0]), 10_000 + port))?;
        for to in PORTS {
            socket.send_to(b"x", at(ENDPOINT[0], to))?;
        }
    }
    Ok(())
}

/// Has flows listed as JSON, one object each; returns how many, and how long it took.
fn list(daemon: &Daemon, limit: &str, words: &[&str]) -> Result<(usize, Duration)> {
    let begin = Instant::now();
    let words = [&["flows", "--json", "--limit", limit], words].concat();
    let output = daemon.cli().args(words).output()?;
    let took = begin.elapsed();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with('[') && text.trim_end().ends_with(']'), "cut off");
    Ok((text.matches("\"client\":").count(), took))
}

#[test]
fn many_flows_are_listed_beside_the_daemons_loop() {
    let wanted = flows();
    let (first, last) = (PORTS.start, PORTS.end - 1);
    let listener =
        format!("[[service.listener]]\nprotocol = \"udp\"\nports = \"{first}-{last}\"\n\n");
    let target = "[[service.target]]\naddress = \"10.0.0.10\"";
    let config = CONFIG.replacen(target, &format!("{listener}{target}"), 1).replacen(
        "max_flows = 4096",
        &format!("max_flows = {}", wanted + wanted / 4),
        1,
    );
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    // Whatever comes is taken, and not read.
    let vendor = lab.host("vendor");
    let sink = |port| vendor.run(|| Ok(UdpSocket::bind(at(SERVER[0], port))?)).unwrap();
    let _sinks: Vec<UdpSocket> = PORTS.map(sink).collect();
    let clients = u16::try_from(wanted / u64::from(last - first + 1)).unwrap();
    lab.host("acme").run(|| open(clients)).unwrap();
    let one = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    let opened = one["new_flows"].as_u64().unwrap();
    assert!(opened > wanted * 9 / 10, "{opened} of {wanted} flows were opened");

    let mut slowest = Duration::ZERO;
    let (all, took) = thread::scope(|scope| {
        let listing = scope.spawn(|| list(&daemon, "10000000", &[]).unwrap());
        while !listing.is_finished() {
            let begin = Instant::now();
            daemon.ask(&["connections", "--json"]).unwrap();
            slowest = slowest.max(begin.elapsed());
        }
        listing.join().unwrap()
    });
    let port = (10_000 + clients / 2).to_string();
    let (some, found) = list(&daemon, "1000", &["--port", &port]).unwrap();
    let (few, begun) = list(&daemon, "10", &[]).unwrap();
    println!(
        "{all} flows listed in {took:?}, {some} found in {found:?}, the first {few} in {begun:?}; \
         meanwhile an answer of the daemon took {slowest:?} at most"
    );
    assert_eq!(all as u64, opened);
    // A source port may be the same as the client's.
    assert!(some >= PORTS.len() && few == 10);
    assert!(took < LIST && found < LIST && begun < LIST && slowest < SOON);
}
