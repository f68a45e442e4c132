//! One endpoint under a flood does not take from the others.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    net::if_::if_nametoindex,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use privatelink_tests::{
    lab::{DEVICE, Daemon, Host, Lab, client, provider::ECHO_PORT},
    packet::{Given, Packet, flags},
};
use privatelink_user::datapath::bpf::FrameSender;

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, at, lay};

/// Times that the rate is measured with the flood and without.
const ROUNDS: usize = 8;
const ATTEMPTS: usize = 3;
const ROUND: Duration = Duration::from_millis(500);
/// What must be left of the rate. The goal is nine tenths; what else runs on the machine takes its
/// part too, and this catches a datapath in which the flood takes all.
const LEAST: f64 = 0.7;
/// Flows that the flooded endpoint may open in a second.
const LIMIT: u64 = 100;
/// Tuples that the flood comes from.
const TUPLES: u16 = 50_000;
/// When the flood rests, how often it looks whether to go on.
const PAUSE: Duration = Duration::from_millis(1);

/// Keeps the calling thread, and the softirqs that its packets cause, on one CPU: the first of
/// those that it may use, or the last.
fn stay_on(last: bool) -> Result<()> {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own)?;
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    let cpu = if last { cpus.next_back() } else { cpus.next() };
    let mut set = CpuSet::new();
    set.set(cpu.context("no CPU")?)?;
    Ok(sched_setaffinity(own, &set)?)
}

fn mac_of(host: &Host) -> Result<[u8; 6]> {
    let links: serde_json::Value =
        serde_json::from_str(&host.namespace().ip(&format!("-json link show dev {DEVICE}"))?)?;
    mac(links[0]["address"].as_str().context("no address")?)
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes?.try_into().ok().with_context(|| format!("`{text}` is no Ethernet address"))
}

/// Sends SYNs from ever other tuples, as fast as one CPU can, while it is told to.
struct Flood {
    sender: FrameSender,
    ifindex: u32,
    frames: Vec<Vec<u8>>,
    sent: AtomicU64,
    on: AtomicBool,
    over: AtomicBool,
}

impl Flood {
    fn from(lab: &Lab, name: &str) -> Result<Self> {
        let host = lab.host(name);
        let (own, gateway) = (mac_of(host)?, mac(lab.gateway_mac(name))?);
        let frames = (1..=TUPLES).map(|number| {
            let [high, low] = number.to_be_bytes();
            let client = IpAddr::V4(Ipv4Addr::new(10, 1, high, low));
            let syn = Packet::tcp(SocketAddr::new(client, 40_000), at(ENDPOINT[0], 7));
            syn.flags(flags::SYN).between(own, gateway).build(&Given::default())
        });
        let frames = frames.collect();
        let (sender, ifindex) = host.run(|| Ok((FrameSender::open()?, if_nametoindex(DEVICE)?)))?;
        let (on, over) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { sender, ifindex, frames, sent: AtomicU64::new(0), on, over })
    }

    fn run(&self) -> Result<()> {
        stay_on(true)?;
        let mut frames = self.frames.iter().cycle();
        while !self.over.load(Ordering::Relaxed) {
            if !self.on.load(Ordering::Relaxed) {
                thread::sleep(PAUSE);
                continue;
            }
            for frame in frames.by_ref().take(64) {
                // A full queue is what a flood comes to.
                let sent = self.sender.send(self.ifindex, frame).is_ok();
                self.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Opens and closes connections to the endpoint, one after the other; returns how many a second.
fn rate(host: &Host) -> Result<f64> {
    host.run(|| {
        stay_on(false)?;
        let (begin, mut count) = (Instant::now(), 0u32);
        while begin.elapsed() < ROUND {
            let mut stream = client::connect(at(ENDPOINT[0], 7), SOON)?;
            ensure!(stream.read(&mut [0; 1])? == 0, "the server said something");
            count += 1;
        }
        Ok(f64::from(count) / begin.elapsed().as_secs_f64())
    })
}

/// The rates without the flood and with it, by turns.
fn measure(host: &Host, flood: &Flood) -> Result<[Vec<f64>; 2]> {
    let mut rates = [Vec::new(), Vec::new()];
    rate(host)?;
    for _ in 0..ROUNDS {
        for (flooded, rates) in [false, true].into_iter().zip(&mut rates) {
            flood.on.store(flooded, Ordering::Relaxed);
            // The limit's first second is taken at once.
            let before = flood.sent.load(Ordering::Relaxed);
            while flooded && flood.sent.load(Ordering::Relaxed) < before + 10_000 {
                thread::sleep(PAUSE);
            }
            rates.push(rate(host)?);
        }
    }
    Ok(rates)
}

fn is_fair(alone: f64, flooded: f64) -> bool {
    flooded > LEAST * alone
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[test]
fn a_flood_of_one_endpoint_leaves_the_other_its_connections() {
    let lab = lay().unwrap();
    let listener =
        lab.host("vendor").run(|| Ok(TcpListener::bind(at(SERVER[0], ECHO_PORT))?)).unwrap();
    let globex = "name = \"globex-web\"";
    let config = CONFIG
        .replace("max_flows = 4096", "max_flows = 262144")
        .replace(globex, &format!("{globex}\nlimits = {{ new_flows_per_second = {LIMIT} }}"));
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let flood = Flood::from(&lab, "globex").unwrap();
    let rates = thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(false).unwrap();
            // Whoever connects is let go at once; the listener ends with an error of its own.
            while let Ok((stream, _)) = listener.accept() {
                drop(stream);
                if flood.over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let flooding = scope.spawn(|| flood.run());
        // What else runs may spoil one measurement; an unfair datapath spoils them all.
        let mut rates = measure(lab.host("acme"), &flood);
        for _ in 1..ATTEMPTS {
            if rates.as_mut().is_ok_and(|[alone, flooded]| is_fair(median(alone), median(flooded)))
            {
                break;
            }
            rates = measure(lab.host("acme"), &flood);
        }
        flood.over.store(true, Ordering::Relaxed);
        let _last = lab.host("acme").run(|| client::connect(at(ENDPOINT[0], 7), SOON));
        flooding.join().unwrap().unwrap();
        rates
    });
    let [mut alone, mut flooded] = rates.unwrap();
    let sent = flood.sent.load(Ordering::Relaxed);
    println!("alone {alone:.0?}, flooded {flooded:.0?} connections/s; {sent} SYNs");
    let (alone, flooded) = (median(&mut alone), median(&mut flooded));
    println!("medians {alone:.0} and {flooded:.0}: {:.1} %", 100. * flooded / alone);
    let status = daemon.status().unwrap();
    let refused = status["drops"]["flow_rate_limit"].as_u64().unwrap();
    assert!(refused > sent / 2, "{refused} of {sent} SYNs were refused: {status}");
    assert!(is_fair(alone, flooded), "{flooded} of {alone} connections a second remain");
}
