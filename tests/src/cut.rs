//! Many flows that are cut at once: the daemon goes on answering, feeds the watchdog, and tells both
//! ends of each flow.

use std::{
    fs, io,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    lab::{DEVICE, Daemon, Host, Lab, Provider, client, wait_until},
    pinned,
};

const SOON: Duration = Duration::from_secs(10);
/// How often the service manager wants to hear of the daemon, at least; the packaged unit wants to
/// every 30 seconds.
pub const WATCHDOG: Duration = Duration::from_secs(2);
/// Frames by which each end of a flow learns that it has ended.
const CHALLENGES: u64 = 2;

/// What was seen while flows were cut.
#[derive(Debug)]
pub struct Cut {
    /// From the request to the end of the last flow.
    pub took: Duration,
    /// How long the reload took.
    pub reload: Duration,
    /// How long the slowest answer took meanwhile.
    pub slowest: Duration,
    /// How many requests were answered meanwhile.
    pub answers: u32,
    /// The longest time in which the watchdog was not fed.
    pub unfed: Duration,
    /// How many ends of flows were logged.
    pub logged: u64,
    /// How many frames client and target got, for each flow.
    pub told: [f64; 2],
}

/// Opens one flow and enters `count` copies of it by the configuration `config`, in which the
/// principal `acme` is then no longer allowed.
///
/// # Errors
/// When the lab cannot be laid, a flow is left, or an end is not logged.
pub fn cut(config: &str, count: u32) -> Result<Cut> {
    let folder = TempDir::new()?;
    let log = folder.path().join("flows.log");
    let config = with_log(config, count, &log);
    let lab = Lab::tenants()?;
    let _provider = Provider::start(lab.host("vendor"))?;
    let mut daemon = Daemon::start(lab.gateway(), &config)?;
    let echo = "10.1.0.50:7".parse()?;
    let flow = lab.host("acme").run(|| client::connect(echo, SOON))?;
    client::tcp_exchange(&flow, 1_000, 1)?;
    daemon.terminate();
    pinned::multiply(daemon.pin_dir(), 7, count)?;
    let manager = Manager::listen(&folder.path().join("notify"))?;
    manager.run(&mut daemon)?;
    let all = u64::from(count) + 1;
    ensure!(active(&daemon)? == all, "{} flows instead of {all}", active(&daemon)?);
    let ends = ["acme", "vendor"].map(|name| lab.host(name));
    let before = ends.map(received);

    let ended = AtomicBool::new(false);
    let (mut cut, unfed) = thread::scope(|scope| -> Result<_> {
        let (asking, hearing) =
            (scope.spawn(|| ask(&daemon, &ended)), scope.spawn(|| manager.hear(&ended)));
        let cut = reject(&daemon, &config, count);
        ended.store(true, Ordering::Relaxed);
        let asked = asking.join().ok().context("asking panicked")??;
        let unfed = hearing.join().ok().context("hearing panicked")??;
        Ok((Cut { slowest: asked.0, answers: asked.1, ..cut? }, unfed))
    })?;
    cut.unfed = unfed;
    let logged = || daemon.status().ok()?.get("flow_log")?.get("written")?.as_u64();
    wait_until(SOON * 6, "each end is logged", || logged() >= Some(all))?;
    cut.logged = fs::read_to_string(&log)?.lines().count() as u64;
    for ((told, host), before) in cut.told.iter_mut().zip(ends).zip(before) {
        *told = (received(host)? - before?) as f64 / count as f64;
    }
    Ok(cut)
}

impl Cut {
    /// Judges what was seen of `count` flows.
    ///
    /// # Panics
    /// When an answer was late, the watchdog was not fed, or a flow was not told.
    pub fn judge(&self, count: u32) {
        println!("{count} flows: {self:?}");
        let second = Duration::from_secs(1);
        assert!(self.slowest < second && self.reload < second, "an answer was late: {self:?}");
        assert!(self.unfed < WATCHDOG, "the watchdog was not fed: {self:?}");
        assert_eq!(self.logged, u64::from(count) + 1, "not each end was logged");
        let least = CHALLENGES as f64;
        assert!(self.told.iter().all(|told| *told >= least), "not each end was told: {self:?}");
    }
}

fn with_log(config: &str, count: u32, log: &Path) -> String {
    let more = format!(
        "max_flows = {}\n[gateway.flow_log]\nto = \"{}\"\nrefusals = false\ninterval = \"1d\"\n\
         rotate_size = 10_000_000_000\n",
        count + count / 4 + 4_096,
        log.display()
    );
    config.replacen("max_flows = 4096\n", &more, 1)
}

/// Rejects all flows of `acme`, and waits until they have ended.
fn reject(daemon: &Daemon, config: &str, count: u32) -> Result<Cut> {
    let begin = Instant::now();
    let allowed = "allow = [\"acme\", \"globex\"]";
    daemon.write_config(&config.replacen(allowed, "allow = [\"globex\"]", 1))?;
    daemon.ask(&["reload", "--json"])?;
    let reload = begin.elapsed();
    let limit = SOON * 6 + Duration::from_micros(500) * count;
    let none = || active(daemon).is_ok_and(|flows| flows == 0);
    wait_until(limit, "all flows have ended", none)?;
    let (slowest, unfed) = (Duration::ZERO, Duration::ZERO);
    let took = begin.elapsed();
    Ok(Cut { took, reload, slowest, answers: 0, unfed, logged: 0, told: [0.0; 2] })
}

/// Asks for the status again and again; returns how long the slowest answer took, and their number.
fn ask(daemon: &Daemon, ended: &AtomicBool) -> Result<(Duration, u32)> {
    let (mut slowest, mut answers) = (Duration::ZERO, 0);
    while !ended.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let (code, text) = daemon.request("GET", "/v1/status", None)?;
        ensure!(code == 200, "{code}: {text}");
        slowest = slowest.max(begin.elapsed());
        answers += 1;
    }
    Ok((slowest, answers))
}

fn active(daemon: &Daemon) -> Result<u64> {
    let status = daemon.status()?;
    status["flows"]["active"].as_u64().context("the status has no number of flows")
}

/// How many frames a host has received.
fn received(host: &Host) -> Result<u64> {
    let text = host.namespace().ip(&format!("-statistics -json link show {DEVICE}"))?;
    let links: Value = serde_json::from_str(&text)?;
    let count = links[0]["stats64"]["rx"]["packets"].as_u64();
    count.with_context(|| format!("no number of packets: {text}"))
}

/// A service manager that wants to be fed.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: String,
}

impl Manager {
    fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(WATCHDOG / 20))?;
        Ok(Self { socket, address: path.display().to_string() })
    }

    fn run(&self, daemon: &mut Daemon) -> Result<()> {
        let period = format!("WATCHDOG_USEC={}", WATCHDOG.as_micros());
        daemon.run_under(&["env", &format!("NOTIFY_SOCKET={}", self.address), &period])
    }

    /// Returns for how long it heard nothing that feeds the watchdog, at most.
    fn hear(&self, ended: &AtomicBool) -> io::Result<Duration> {
        let (mut longest, mut last, mut fed) = (Duration::ZERO, Instant::now(), 0);
        let mut message = [0; 4_096];
        // What came before is of no interest.
        self.socket.set_nonblocking(true)?;
        while self.socket.recv(&mut message).is_ok() {}
        self.socket.set_nonblocking(false)?;
        while !ended.load(Ordering::Relaxed) {
            let length = match self.socket.recv(&mut message) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            let text = message.get(..length).unwrap_or_default();
            if text.split(|byte| *byte == b'\n').any(|line| line == b"WATCHDOG=1") {
                fed += 1;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        println!("the watchdog was fed {fed} times");
        Ok(longest.max(last.elapsed()))
    }
}
