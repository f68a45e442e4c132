//! Many flows: their list is complete, can be filtered and cut, and does not hold up the daemon.
//! `cargo xtask bench --flow-list` measures the times.

use std::{net::UdpSocket, thread};

use anyhow::{Result, ensure};
use privatelink_tests::lab::Daemon;

use crate::fixture::{CLIENT, CONFIG, ENDPOINT, SERVER, at, ip, lay};

/// The ports of the service; each client port sends to all of them.
const PORTS: std::ops::Range<u16> = 9_000..9_020;
/// The client ports.
const CLIENTS: u16 = 1_000;
const FLOWS: usize = CLIENTS as usize * PORTS.end.abs_diff(PORTS.start) as usize;
/// Answers that the daemon must give while it makes the list.
const ANSWERS: usize = 3;

/// Opens the flows, one from each client port to each port of the service.
fn open() -> Result<()> {
    for port in 0..CLIENTS {
        let socket = UdpSocket::bind((ip(CLIENT[0]), 10_000 + port))?;
        for to in PORTS {
            socket.send_to(b"x", at(ENDPOINT[0], to))?;
        }
    }
    Ok(())
}

/// Lists flows as JSON, one object each, and returns how many there are.
fn list(daemon: &Daemon, limit: &str, words: &[&str]) -> Result<usize> {
    let words = [&["flows", "--json", "--limit", limit], words].concat();
    let output = daemon.cli().args(words).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with('[') && text.trim_end().ends_with(']'), "the list is cut off");
    Ok(text.matches("\"client\":").count())
}

#[test]
fn many_flows_are_listed_beside_the_daemons_loop() {
    let (first, last) = (PORTS.start, PORTS.end - 1);
    let listener =
        format!("[[service.listener]]\nprotocol = \"udp\"\nports = \"{first}-{last}\"\n\n");
    let target = "[[service.target]]\naddress = \"10.0.0.10\"";
    let config = CONFIG.replacen(target, &format!("{listener}{target}"), 1).replacen(
        "max_flows = 4096",
        &format!("max_flows = {}", FLOWS + FLOWS / 4),
        1,
    );
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    // Open sockets that never read: no ICMP error ends the flows.
    let vendor = lab.host("vendor");
    let sink = |port| vendor.run(|| Ok(UdpSocket::bind(at(SERVER[0], port))?)).unwrap();
    let _sinks: Vec<UdpSocket> = PORTS.map(sink).collect();
    lab.host("acme").run(open).unwrap();
    let one = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    let opened = usize::try_from(one["new_flows"].as_u64().unwrap()).unwrap();
    assert!(opened > FLOWS * 9 / 10, "{opened} of {FLOWS} flows were opened");

    let mut answers = 0;
    let all = thread::scope(|scope| {
        let listing = scope.spawn(|| list(&daemon, "10000000", &[]).unwrap());
        while !listing.is_finished() {
            daemon.ask(&["connections", "--json"]).unwrap();
            answers += usize::from(!listing.is_finished());
        }
        listing.join().unwrap()
    });
    assert_eq!(all, opened);
    assert!(answers >= ANSWERS, "the daemon gave only {answers} answers while it made the list");
    let port = (10_000 + CLIENTS / 2).to_string();
    let some = list(&daemon, "1000", &["--port", &port]).unwrap();
    // A source port may be the same as the client's.
    assert!((PORTS.len()..=2 * PORTS.len()).contains(&some), "{some} flows of port {port}");
    assert_eq!(list(&daemon, "10", &[]).unwrap(), 10);
}
