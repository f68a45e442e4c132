//! A flood on one endpoint does not slow the connections of another.
//!
//! Other programs of the machine share its CPUs, so a rate of connections says little by itself.
//! The test judges what the datapath alone decides: whether packets of the other endpoint are
//! refused or lost, and how much CPU time its connections take.

use std::{
    fs,
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
    lab::{DEVICE, Daemon, Host, Lab, client, ethernet_address, provider::ECHO_PORT, wait_until},
    packet::{Given, Packet, flags},
};
use privatelink_user::datapath::bpf::FrameSender;

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, at, lay};

/// Rounds, each without the flood and with it.
const ROUNDS: usize = 12;
const ROUND: Duration = Duration::from_millis(300);
/// SYNs that the flood sends in a round at least: a round goes on until then.
const FLOOD: u64 = 10_000;
/// How many times as much CPU time a connection may take during the flood. The goal is 1.1; caches
/// that the CPUs share, and other programs, take their part too.
const COST: f64 = 1.4;
/// Segments that may be sent again, as a share of the connections: on a busy machine a softirq
/// may be delayed for longer than TCP waits.
const RESENT: f64 = 0.01;
/// Flows that the flooded endpoint may open in a second.
const LIMIT: u64 = 100;
/// Tuples that the flood comes from.
const TUPLES: u16 = 50_000;
/// How often a pausing thread looks whether to go on.
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
    ethernet_address(links[0]["address"].as_str().context("no address")?)
}

/// Sends SYNs from changing tuples while it is on, as fast as one CPU can.
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
        let (own, gateway) = (mac_of(host)?, ethernet_address(lab.gateway_mac(name))?);
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

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until this many more SYNs are sent.
    fn wait_for(&self, more: u64) -> Result<()> {
        let end = self.sent() + more;
        wait_until(SOON, "the flood sends", || self.sent() >= end)
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
                // An error means that the queue is full, as a flood makes it.
                let sent = self.sender.send(self.ifindex, frame).is_ok();
                self.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// The connections of one round.
struct Sample {
    count: f64,
    /// CPU time of a connection: what its client and the softirqs of both ends take.
    cost: f64,
}

/// CPU time of the calling thread. Its packets cross the gateway in softirqs on its account.
fn cpu_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("no CPU time")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// Opens and closes connections to the endpoint, one after the other, until the round is over.
fn sample(host: &Host, is_over: impl Fn() -> bool + Send + Sync) -> Result<Sample> {
    host.run(|| {
        stay_on(false)?;
        let (begin, before, mut count) = (Instant::now(), cpu_time()?, 0u32);
        while begin.elapsed() < ROUND || !is_over() {
            ensure!(begin.elapsed() < SOON, "the flood sends nothing");
            let mut stream = client::connect(at(ENDPOINT[0], 7), SOON)?;
            ensure!(stream.read(&mut [0; 1])? == 0, "the server sent something");
            count += 1;
        }
        let (count, used) = (f64::from(count), cpu_time()? - before);
        Ok(Sample { count, cost: used.as_secs_f64() / count })
    })
}

/// For each round, how many times as much CPU time a connection takes with the flood.
fn measure(host: &Host, flood: &Flood) -> Result<Vec<f64>> {
    // Neighbours are resolved before anything is counted.
    sample(host, || true)?;
    let before = retransmissions(host)?;
    let (mut ratios, mut count) = (Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        flood.on.store(false, Ordering::Relaxed);
        let alone = sample(host, || true)?;
        flood.on.store(true, Ordering::Relaxed);
        // The flows that the limit allows in its first second are taken at once.
        flood.wait_for(FLOOD)?;
        let end = flood.sent() + FLOOD;
        let flooded = sample(host, || flood.sent() >= end)?;
        ratios.push(flooded.cost / alone.cost);
        count += alone.count + flooded.count;
    }
    let resent = (retransmissions(host)? - before) as f64;
    ensure!(resent < count * RESENT, "{resent} segments of {count} connections were sent again");
    Ok(ratios)
}

/// TCP segments that a host has sent again.
fn retransmissions(host: &Host) -> Result<u64> {
    let text = host.run(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
    let mut rows = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (rows.next().context("no names")?, rows.next().context("no values")?);
    let mut fields = names.split(' ').zip(values.split(' '));
    let field = fields.find(|(name, _)| *name == "RetransSegs").context("no RetransSegs")?;
    Ok(field.1.parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
    let ratios = thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(false).unwrap();
            // Closes each connection at once, until the flood is over.
            while let Ok((stream, _)) = listener.accept() {
                drop(stream);
                if flood.over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let flooding = scope.spawn(|| flood.run());
        let ratios = measure(lab.host("acme"), &flood);
        flood.over.store(true, Ordering::Relaxed);
        let _last = lab.host("acme").run(|| client::connect(at(ENDPOINT[0], 7), SOON));
        flooding.join().unwrap().unwrap();
        ratios
    });
    let ratios = ratios.unwrap();
    let (sent, status) = (flood.sent(), daemon.status().unwrap());
    let refused = status["drops"]["flow_rate_limit"].as_u64().unwrap();
    assert!(refused > sent / 2, "{refused} of {sent} SYNs were refused: {status}");
    let acme = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    assert_eq!(acme["drops"], 0, "packets of the other endpoint were refused: {acme}");
    let cost = median(ratios);
    assert!(cost < COST, "a connection takes {cost:.2} times the CPU time during the flood");
}
