//! What it costs a packet that everything is looked at: metrics, flow log and events.

use std::{
    env,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use privatelink_tests::lab::{Daemon, Lab, Scrape, tool};
use privatelink_user::metrics::Format;
use serde_json::Value;

use crate::{
    fixture::{ENDPOINT, SERVER, at, lay},
    flow_log::place,
    metrics,
};

/// Flows that packets belong to, in turn.
const FLOWS: usize = 1_024;
/// How long each side of a round takes, so that there are some scrapes in it.
const SIDE: Duration = Duration::from_secs(2);
/// Scrapes, and looks of the flow log at what lasts, are this far apart.
const PERIOD: Duration = Duration::from_secs(1);
/// Two sides of one round differ by more than their cause on a machine that does other things.
const RATIO: f64 = 1.5;

/// How many rounds; `ROUNDS=10` asks for more.
fn rounds() -> usize {
    env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

/// How often the consumer's program has run, and for how long in all.
fn runs(lab: &Lab) -> Result<(u64, Duration)> {
    let mut command = lab.gateway().command("ip");
    let links = tool::run(command.args(["-json", "link", "show", "dev", "veth-acme"]))?;
    let links: Value = serde_json::from_str(&links)?;
    let id = links[0]["xdp"]["prog"]["id"].as_u64().context("there is no program")?;
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| u64::from(program.id()) == id).context("it is gone")?;
    Ok((program.run_count(), program.run_time()))
}

/// Nanoseconds of a packet while this is done.
fn cost(lab: &Lab, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = runs(lab)?;
    meanwhile()?;
    let after = runs(lab)?;
    let packets = after.0 - before.0;
    ensure!(packets > 1_000, "only {packets} packets");
    Ok((after.1 - before.1).as_nanos() as f64 / packets as f64)
}

/// Nobody looks.
fn wait() -> Result<()> {
    // A share of time is what is measured, so there is nothing else to wait for.
    thread::sleep(SIDE);
    Ok(())
}

/// Sends through all flows, one after the other, for as long as it is not over.
fn send(over: &AtomicBool) -> Result<()> {
    let sockets = (0..FLOWS).map(|_| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(at(ENDPOINT[0], 9))?;
        Ok(socket)
    });
    let sockets: Vec<UdpSocket> = sockets.collect::<Result<_>>()?;
    while !over.load(Ordering::Relaxed) {
        for socket in &sockets {
            socket.send(b"some bytes, as there are in most packets")?;
        }
    }
    Ok(())
}

/// Has the metrics scraped again and again.
fn look(lab: &Lab) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < SIDE {
        let content = Format::Plain.content_type();
        let url = "http://127.0.0.1:9469/metrics";
        Scrape::of(lab.gateway(), url, "text/plain", content)?;
        thread::sleep(PERIOD.min(SIDE.saturating_sub(begin.elapsed())));
    }
    Ok(())
}

/// What a packet costs with everything looked at, in terms of what it costs alone, round by round.
fn ratios(lab: &Lab, daemon: Pid) -> Result<Vec<f64>> {
    let mut ratios = Vec::new();
    // Flows are opened first.
    cost(lab, wait)?;
    for _ in 0..rounds() {
        let seen = cost(lab, || look(lab))?;
        // Whoever is stopped looks at nothing.
        kill(daemon, Signal::SIGSTOP)?;
        let unseen = cost(lab, wait);
        kill(daemon, Signal::SIGCONT)?;
        let unseen = unseen?;
        println!("{seen:.1} ns looked at, {unseen:.1} ns alone: {:.3}", seen / unseen);
        ratios.push(seen / unseen);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios)
}

#[test]
fn what_is_looked_at_costs_a_packet_nothing() {
    let (_directory, log) = place();
    let listener = "[[service.listener]]\nprotocol = \"udp\"\nport = 9\ntarget_port = 9999\n\n";
    let target = "[[service.target]]\naddress = \"10.0.0.10\"";
    let config = metrics::config(9469).replacen(target, &format!("{listener}{target}"), 1);
    let config = format!(
        "{config}\n[gateway.flow_log]\nto = \"{}\"\ninterval = \"{PERIOD:?}\"\n",
        log.display()
    );
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let sink = || Ok(UdpSocket::bind(at(SERVER[0], 9999))?);
    let _sink = lab.host("vendor").run(sink).unwrap();
    let process = Pid::from_raw(i32::try_from(daemon.id().unwrap()).unwrap());
    let mut follower = daemon.cli().args(["events", "--follow"]).spawn().unwrap();
    // For as long as this is held, the kernel takes the time of programs.
    let _statistics = enable_stats(Stats::RunTime).unwrap();

    let over = AtomicBool::new(false);
    let ratios = thread::scope(|scope| {
        let sender = scope.spawn(|| lab.host("acme").run(|| send(&over)));
        let ratios = ratios(&lab, process);
        over.store(true, Ordering::Relaxed);
        sender.join().unwrap().unwrap();
        ratios
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    let ratios = ratios.unwrap();
    let median = ratios[ratios.len() / 2];
    println!("median of {} rounds: {median:.3}", ratios.len());
    assert!(median < RATIO, "{ratios:?}");
}
