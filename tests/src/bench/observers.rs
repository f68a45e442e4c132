//! What a packet costs while metrics, flow log and events are read, and while nothing is.

use std::{
    fmt,
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use privatelink_user::metrics::Format;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::report::median;
use crate::lab::{Daemon, Lab, Process, Scrape};

/// Flows that packets belong to, in turn.
const FLOWS: usize = 1_024;
/// How long each side of a round takes, so that there are some scrapes in it.
const SIDE: Duration = Duration::from_secs(2);
/// The time between two scrapes, and between two interval records of a flow.
const PERIOD: Duration = Duration::from_secs(1);
const METRICS: &str = "127.0.0.1:9469";

/// Nanoseconds of a packet in each round.
#[derive(Debug, Serialize)]
pub struct Observers {
    rounds: Vec<Round>,
    /// Median of the rounds' observed / unobserved.
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Round {
    observed: f64,
    unobserved: f64,
}

/// Sends datagrams through many flows, and takes the time of the consumer's program from the
/// kernel's statistics.
///
/// # Errors
/// When the kernel keeps no statistics, or too few packets arrive.
pub fn measure(rounds: u32) -> Result<Observers> {
    let files = TempDir::new()?;
    let lab = Lab::quickstart()?;
    let daemon = Daemon::start(lab.gateway(), &config(&files))?;
    let sink = || Ok(UdpSocket::bind((Ipv4Addr::new(10, 0, 0, 10), 9_999))?);
    let _sink = lab.host("vendor").run(sink)?;
    let id = Pid::from_raw(i32::try_from(daemon.id().context("the daemon does not run")?)?);
    let mut follow = daemon.cli();
    follow.args(["events", "--follow"]);
    let _follower = Process::spawn("privatelink events", follow)?;
    // For as long as this is held, the kernel takes the time of programs.
    let _statistics = enable_stats(Stats::RunTime)?;

    let is_over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let sender = scope.spawn(|| lab.host("acme").run(|| send(&is_over)));
        let rounds = compare(&lab, id, rounds);
        is_over.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| anyhow!("the sending thread panicked"))??;
        rounds
    })?;
    let mut ratios: Vec<f64> =
        rounds.iter().map(|round| round.observed / round.unobserved).collect();
    Ok(Observers { ratio: median(&mut ratios), rounds })
}

/// The quickstart with metrics, a flow log and a UDP listener whose target never replies.
fn config(files: &TempDir) -> String {
    let name = "name = \"gw-a\"";
    let target = "[[service.target]]";
    let listener = "[[service.listener]]\nprotocol = \"udp\"\nport = 9\ntarget_port = 9999\n\n";
    let config = include_str!("../../../examples/quickstart.toml")
        .replacen(name, &format!("{name}\nmax_flows = 4096\nmetrics = \"{METRICS}\""), 1)
        .replacen(target, &format!("{listener}{target}"), 1);
    let log = files.path().join("flows.log");
    format!("{config}\n[gateway.flow_log]\nto = \"{}\"\ninterval = \"{PERIOD:?}\"\n", log.display())
}

fn compare(lab: &Lab, daemon: Pid, rounds: u32) -> Result<Vec<Round>> {
    // The flows are opened before the first round.
    cost(lab, wait)?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        let observed = cost(lab, || scrape(lab))?;
        // A stopped daemon reads nothing.
        kill(daemon, Signal::SIGSTOP)?;
        let unobserved = cost(lab, wait);
        kill(daemon, Signal::SIGCONT)?;
        all.push(Round { observed, unobserved: unobserved? });
    }
    Ok(all)
}

/// Nanoseconds of a packet while `meanwhile` runs.
fn cost(lab: &Lab, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (packets, time) = runs(lab)?;
    meanwhile()?;
    let (after, end) = runs(lab)?;
    let packets = after - packets;
    ensure!(packets > 1_000, "only {packets} packets");
    Ok((end - time).as_nanos() as f64 / packets as f64)
}

/// How often the program of acme's interface has run, and for how long in all.
fn runs(lab: &Lab) -> Result<(u64, Duration)> {
    let links: Value = serde_json::from_str(&lab.gateway().ip("-json link show dev veth-acme")?)?;
    let id = links.pointer("/0/xdp/prog/id").and_then(Value::as_u64);
    let id = id.context("veth-acme has no XDP program")?;
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| u64::from(program.id()) == id);
    let program = program.with_context(|| format!("XDP program {id} is gone"))?;
    Ok((program.run_count(), program.run_time()))
}

fn wait() -> Result<()> {
    // A share of time is measured, so there is no condition to wait for.
    thread::sleep(SIDE);
    Ok(())
}

/// Scrapes the metrics once in each period.
fn scrape(lab: &Lab) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < SIDE {
        let url = format!("http://{METRICS}/metrics");
        Scrape::of(lab.gateway(), &url, "text/plain", Format::Plain.content_type())?;
        thread::sleep(PERIOD.min(SIDE.saturating_sub(begin.elapsed())));
    }
    Ok(())
}

/// Sends through all flows, one after the other, until it is over.
fn send(is_over: &AtomicBool) -> Result<()> {
    let sockets = (0..FLOWS).map(|_| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((Ipv4Addr::new(10, 1, 0, 50), 9))?;
        Ok(socket)
    });
    let sockets: Vec<UdpSocket> = sockets.collect::<Result<_>>()?;
    while !is_over.load(Ordering::Relaxed) {
        for socket in &sockets {
            socket.send(b"some bytes, as there are in most packets")?;
        }
    }
    Ok(())
}

impl fmt::Display for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Round { observed, unobserved } in &self.rounds {
            let ratio = observed / unobserved;
            writeln!(f, "{observed:.1} ns observed, {unobserved:.1} ns not: {ratio:.3}")?;
        }
        writeln!(f, "median of {} rounds: {:.3}", self.rounds.len(), self.ratio)
    }
}
