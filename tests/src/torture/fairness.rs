//! What a flood of one tenant costs the connections of another, with the default configuration.
//!
//! The flood's generator is kept on the last CPU. A veth hands its frames to the gateway's program
//! in a softirq of the sender's CPU, and what is forwarded reaches the provider's stack there too.
//! Everything else stays on the first: the victim, its service and the daemon. So the flood takes
//! from the victim what the gateway lets it take, and no CPU time. The equal load is as many frames
//! of one open flow, from the same place.

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use privatelink_user::datapath::bpf::FrameSender;
use serde::Serialize;

use super::{
    attack::{Attack, Generator},
    noise::Noise,
    scene::{ENDPOINT, Scene, Setting},
};
use crate::lab::client;

/// What the floods are made of.
pub const FLOODS: [Attack; 7] = [
    Attack::Ports,
    Attack::HalfOpen,
    Attack::Reuse,
    Attack::Reset,
    Attack::Signals,
    Attack::Fragments,
    Attack::ForgedPing,
];
/// Different frames of a flood: more than there are source ports.
const FRAMES: usize = 90_000;
/// Frames that are sent without a look at the clock.
const BURST: u32 = 32;
/// A connection that takes longer is lost.
const LOST: Duration = Duration::from_secs(1);
/// The flooder and its victim.
const FLOODER: usize = 0;
const VICTIM: usize = 1;

/// The victim during each flood.
#[derive(Debug, Serialize)]
pub struct Fairness {
    /// Repeats the floods.
    pub seed: u64,
    /// Frames per second that were asked for.
    pub rate: u32,
    /// One figure for each flood.
    pub floods: Vec<Figure>,
}

/// The victim during one flood.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Name of the flood.
    pub flood: &'static str,
    /// With as many frames of an open flow.
    pub equal: Sample,
    /// With the flood.
    pub hostile: Sample,
    /// The share of the connections that succeeded during the flood.
    pub kept: f64,
    /// How many times as long the slowest percent took.
    pub p99_ratio: f64,
}

/// Connections during some seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Frames of the other tenant.
    pub frames: u64,
    /// Connections that the victim tried to open.
    pub begun: u64,
    /// Connections that exchanged their bytes.
    pub served: u64,
    /// Median duration of the served connections, in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the same.
    pub p99_us: u64,
}

impl Fairness {
    /// Whether every flood leaves the victim 99 % of its connections, at twice the time at most.
    pub fn passes(&self) -> bool {
        self.floods.iter().all(|one| one.kept >= 0.99 && one.p99_ratio <= 2.0)
    }
}

impl fmt::Display for Fairness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flood              frames/s      kept   p99 equal  p99 flood   ratio")?;
        for one in &self.floods {
            writeln!(
                f,
                "{:<16} {:>10} {:>8.2} % {:>8} us {:>7} us {:>7.2}",
                one.flood,
                one.hostile.frames,
                one.kept * 100.0,
                one.equal.p99_us,
                one.hostile.p99_us,
                one.p99_ratio
            )?;
        }
        Ok(())
    }
}

/// Floods, and measures a victim.
///
/// # Errors
/// When the lab cannot be laid.
pub fn run(seed: u64, rate: u32, seconds: u64, floods: &[Attack]) -> Result<Fairness> {
    stay_on(false)?;
    let (mut figures, time) = (Vec::new(), Duration::from_secs(seconds));
    for &flood in floods {
        // A new gateway each: a full table is no flood's inheritance.
        let scene = Scene::lay(Setting::Plain)?;
        let mut generator =
            Generator::of_one(&scene, flood, seed, Noise::new(seed ^ flood.number()), FLOODER);
        let hostile: Vec<_> = (0..FRAMES).map(|_| generator.draw().1).collect();
        let equal = vec![generator.of_one_flow(FLOODER)];
        let equal = sample(&scene, &equal, rate, time)?;
        let hostile = sample(&scene, &hostile, rate, time)?;
        let figure = Figure {
            flood: flood.name(),
            kept: hostile.served as f64 / hostile.begun.max(1) as f64,
            p99_ratio: hostile.p99_us as f64 / equal.p99_us.max(1) as f64,
            equal,
            hostile,
        };
        figures.push(figure);
    }
    Ok(Fairness { seed, rate, floods: figures })
}

fn sample(scene: &Scene, frames: &[Vec<u8>], rate: u32, time: Duration) -> Result<Sample> {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (flooder, victim) = (&scene.tenants[FLOODER], &scene.tenants[VICTIM]);
    let mut sample = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            flooder.host.run(|| {
                stay_on(true)?;
                let sender = FrameSender::open()?;
                flood(&sender, flooder.ifindex, frames, rate, &over, &sent);
                Ok(())
            })
        });
        let sample = victim.host.run(|| {
            stay_on(false)?;
            connections(time)
        });
        over.store(true, Ordering::Relaxed);
        flood.join().ok().context("the flood panicked")??;
        sample
    })?;
    sample.frames = sent.load(Ordering::Relaxed) / time.as_secs().max(1);
    Ok(sample)
}

fn flood(
    sender: &FrameSender,
    ifindex: u32,
    frames: &[Vec<u8>],
    rate: u32,
    over: &AtomicBool,
    sent: &AtomicU64,
) {
    let (begin, mut due) = (Instant::now(), Duration::ZERO);
    let mut frames = frames.iter().cycle();
    while !over.load(Ordering::Relaxed) {
        for frame in frames.by_ref().take(BURST as usize) {
            let done = sender.send(ifindex, frame).is_ok();
            sent.fetch_add(u64::from(done), Ordering::Relaxed);
        }
        due += Duration::from_secs(1) * BURST / rate.max(1);
        // Late bursts are not made up for: they would be another load.
        match due.checked_sub(begin.elapsed()) {
            Some(early) => thread::sleep(early),
            None => due = begin.elapsed(),
        }
    }
}

fn connections(time: Duration) -> Result<Sample> {
    let server = SocketAddr::new(ENDPOINT[0].parse()?, 7);
    let (begin, mut begun, mut times) = (Instant::now(), 0, Vec::new());
    while begin.elapsed() < time {
        begun += 1;
        let start = Instant::now();
        if exchange(server).is_ok() {
            times.push(u64::try_from(start.elapsed().as_micros())?);
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(u64::MAX);
    Ok(Sample { frames: 0, begun, served: times.len() as u64, p50_us: at(50), p99_us: at(99) })
}

fn exchange(server: SocketAddr) -> Result<()> {
    let mut stream = client::connect(server, LOST)?;
    stream.set_read_timeout(Some(LOST))?;
    stream.write_all(&[7; 64])?;
    Ok(stream.read_exact(&mut [0; 64])?)
}

/// Keeps the calling thread, and what it starts, on the first CPU that it may use, or the last.
fn stay_on(last: bool) -> Result<()> {
    // Once the calling thread stays somewhere, it no longer knows where it might.
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    let own = Pid::from_raw(0);
    let allowed = *ALLOWED.get_or_init(|| sched_getaffinity(own).unwrap_or_default());
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    let cpu = if last { cpus.next_back() } else { cpus.next() };
    let mut set = CpuSet::new();
    set.set(cpu.context("no CPU")?)?;
    Ok(sched_setaffinity(own, &set)?)
}
