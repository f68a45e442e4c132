//! The time of a sweep of the whole flow table on one core.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use privatelink_common::flow::regions_for;
use serde::Serialize;

use super::gateway::Gateway;
use super::host::Ports;
use super::packet::{FlowTuple, MAX_FLOWS, Protocol};
use super::subject::Subject;

/// Regions in one call, as in the daemon: packets on this CPU wait for the duration of one call.
const STRIDE: u32 = 16;
/// An idle timeout that every flow has exceeded by the time of the sweep.
const NONE: Duration = Duration::from_millis(1);
/// Longer than one tick of the flows' clock.
const SILENCE: Duration = Duration::from_millis(50);

/// The times of sweeps of a table.
#[derive(Debug, Serialize)]
pub struct Sweeps {
    flows: u32,
    regions: u32,
    /// Milliseconds of each sweep that ended no flow.
    alive: Vec<f64>,
    /// Milliseconds of one that asked the security rules of each flow.
    with_rules: f64,
    /// Milliseconds of the sweep that ended all flows.
    ended: f64,
    /// Milliseconds of that in which user space read the ended flows.
    reading: f64,
    /// The longest wait of a packet, in milliseconds.
    longest: f64,
}

/// The times of one sweep.
#[derive(Default)]
struct Sweep {
    ended: u32,
    read: usize,
    total: Duration,
    reading: Duration,
    longest: Duration,
}

/// Fills a table with `flows` flows and sweeps it `rounds` times while they are live, and once when
/// they are idle.
///
/// # Errors
/// When the kernel refuses, or a sweep ends other flows than it should.
pub fn measure(gateway: &mut Gateway, ports: &Ports, flows: u32, rounds: u32) -> Result<Sweeps> {
    ensure!(flows <= MAX_FLOWS, "at most {MAX_FLOWS} flows");
    let tuples: Vec<_> = (0..flows).map(FlowTuple::nth).collect();
    gateway.prepare(&tuples, Protocol::Tcp, ports)?;
    let regions = regions_for(gateway.capacity());
    gateway.load_sweep()?;
    let (mut alive, mut longest) = (Vec::new(), Duration::ZERO);
    for _ in 0..rounds {
        let sweep = whole(gateway, regions, false)?;
        ensure!(sweep.ended == 0, "{} flows ended that were alive", sweep.ended);
        longest = longest.max(sweep.longest);
        alive.push(millis(sweep.total));
    }
    let with_rules = whole(gateway, regions, true)?;
    ensure!(with_rules.ended == 0, "{} flows ended that are allowed", with_rules.ended);
    gateway.set_patience(NONE)?;
    std::thread::sleep(SILENCE);
    let sweep = whole(gateway, regions, false)?;
    // The sweep ends both directions when it finds the first.
    ensure!(sweep.ended == flows, "{} of {flows} flows ended", sweep.ended);
    ensure!(sweep.read == flows as usize, "{} ends of {flows} flows", sweep.read);
    Ok(Sweeps {
        flows,
        regions,
        alive,
        with_rules: millis(with_rules.total),
        ended: millis(sweep.total),
        reading: millis(sweep.reading),
        longest: millis(longest.max(sweep.longest)),
    })
}

fn whole(gateway: &mut Gateway, regions: u32, with_rules: bool) -> Result<Sweep> {
    let mut sweep = Sweep::default();
    for first in (0..regions).step_by(STRIDE as usize) {
        let begin = Instant::now();
        sweep.ended += gateway.sweep(first, STRIDE.min(regions - first), with_rules)?;
        let swept = begin.elapsed();
        sweep.read += gateway.read_ends()?;
        let all = begin.elapsed();
        sweep.longest = sweep.longest.max(swept);
        sweep.reading += all - swept;
        sweep.total += all;
    }
    Ok(sweep)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl std::fmt::Display for Sweeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} flows in {} regions, {STRIDE} at a time", self.flows, self.regions)?;
        writeln!(f, "all alive: {:.0?} ms", self.alive)?;
        writeln!(f, "all alive, with rules: {:.0} ms", self.with_rules)?;
        writeln!(f, "all ended: {:.0} ms, {:.0} of it to read them", self.ended, self.reading)?;
        write!(f, "longest wait of a packet: {:.2} ms", self.longest)
    }
}
