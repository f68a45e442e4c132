//! The time that a list of many flows takes, and how long the daemon keeps others waiting
//! meanwhile.

use std::{
    fmt,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::report::median;
use crate::lab::{Daemon, Lab, many};

/// The client, its first port, the endpoint and the target.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const FIRST_PORT: u16 = 10_000;
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The ports of the service; each client port sends to all of them.
const PORTS: std::ops::Range<u16> = 9_000..9_020;

/// Seconds, median of the rounds.
#[derive(Debug, Serialize)]
pub struct FlowList {
    flows: usize,
    all: f64,
    /// The flows of one client port.
    of_one_port: f64,
    first_ten: f64,
    /// The slowest answer of the daemon while it made a list, of all rounds.
    slowest_answer: f64,
}

/// Opens this many flows and lists them, `rounds` times.
///
/// # Errors
/// When the client has too few ports for the flows, or a list is incomplete.
pub fn measure(flows: u32, rounds: u32) -> Result<FlowList> {
    let clients = flows / u32::try_from(PORTS.len())?;
    let last = u32::from(FIRST_PORT) + clients;
    ensure!(clients > 0 && last <= u32::from(u16::MAX), "--capacity: at most 1,110,000 flows");
    let (lab, most) = (Lab::quickstart()?, flows + flows / 4);
    let keys = format!(
        "acceptance = \"automatic\"\nallow = [\"*\"]\n\
         listener = [{{ protocol = \"udp\", ports = \"{}-{}\" }}]",
        PORTS.start,
        PORTS.end - 1
    );
    let config = many::services(&format!("max_flows = {most}"), 1, &keys)
        + &format!(
            "[[endpoint]]\nname = \"e0\"\nservice = \"s0\"\nnetwork = \"acme\"\n\
             addresses = [\"{ENDPOINT}\"]\n"
        );
    let daemon = Daemon::start(lab.gateway(), &config)?;
    // Open sockets that never read: no ICMP error ends the flows.
    let sink = |port| lab.host("vendor").run(|| Ok(UdpSocket::bind((TARGET, port))?));
    let _sinks = PORTS.map(sink).collect::<Result<Vec<_>>>()?;
    lab.host("acme").run(|| open(u16::try_from(clients)?))?;
    let one = daemon.ask(&["endpoints", "e0", "--json"])?;
    let opened = one.get("new_flows").and_then(Value::as_u64).context("no count of flows")?;
    let opened = usize::try_from(opened)?;
    ensure!(opened * 10 > flows as usize * 9, "only {opened} of {flows} flows were opened");
    timed(&daemon, opened, rounds)
}

/// Opens flows, one from each client port to each port of the service.
fn open(clients: u16) -> Result<()> {
    for port in 0..clients {
        let socket = UdpSocket::bind((CLIENT, FIRST_PORT + port))?;
        for to in PORTS {
            socket.send_to(b"x", (ENDPOINT, to))?;
        }
    }
    Ok(())
}

fn timed(daemon: &Daemon, flows: usize, rounds: u32) -> Result<FlowList> {
    let (mut all, mut of_one_port, mut first_ten) = (Vec::new(), Vec::new(), Vec::new());
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let (found, took) = thread::scope(|scope| {
            let listing = scope.spawn(|| list(daemon, "10000000", &[]));
            while !listing.is_finished() {
                let begin = Instant::now();
                daemon.ask(&["connections", "--json"])?;
                slowest = slowest.max(begin.elapsed());
            }
            listing.join().map_err(|_| anyhow::anyhow!("the listing thread panicked"))?
        })?;
        ensure!(found == flows, "{found} of {flows} flows were listed");
        all.push(took);
        of_one_port.push(list(daemon, "1000", &["--port", &FIRST_PORT.to_string()])?.1);
        first_ten.push(list(daemon, "10", &[])?.1);
    }
    let [all, of_one_port, first_ten] =
        [all, of_one_port, first_ten].map(|mut seconds| median(&mut seconds));
    Ok(FlowList { flows, all, of_one_port, first_ten, slowest_answer: slowest.as_secs_f64() })
}

/// Lists flows as JSON; returns how many there are, and the seconds that it took.
fn list(daemon: &Daemon, limit: &str, words: &[&str]) -> Result<(usize, f64)> {
    let words = [&["flows", "--json", "--limit", limit], words].concat();
    let begin = Instant::now();
    let output = daemon.cli().args(words).output()?;
    let took = begin.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((String::from_utf8(output.stdout)?.matches("\"client\":").count(), took))
}

impl fmt::Display for FlowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} flows, median of the rounds:", self.flows)?;
        for (what, seconds) in [
            ("all flows", self.all),
            ("the flows of one port", self.of_one_port),
            ("the first ten", self.first_ten),
            ("slowest answer meanwhile", self.slowest_answer),
        ] {
            writeln!(f, "{what:<26} {seconds:>7.3} s")?;
        }
        Ok(())
    }
}
