//! DNS answers per second, beside other name servers with the same records.

use std::{fmt, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tempfile::TempDir;

use super::report::median;
use crate::lab::{Daemon, Host, Lab, Process, daemon, process::cpu_time, tool, wait_until};

/// The address of all servers.
const ADDRESS: &str = "10.1.0.1";
/// The name in all queries.
const NAME: &str = "web.internal";
const ANSWER: &str = "10.1.0.50";
/// Seconds of one round of one server.
const ROUND: &str = "2";
const SOON: Duration = Duration::from_secs(30);

/// The servers, and how many answers each gave.
#[derive(Debug, Serialize)]
pub struct Names {
    /// privatelink's own first.
    pub servers: Vec<Server>,
}

/// The figures of one server.
#[derive(Debug, Serialize)]
pub struct Server {
    /// The program.
    pub name: String,
    /// Answers per second, median of the rounds.
    pub answers: f64,
    /// Percent of queries without an answer, the most of all rounds.
    pub lost: f64,
    /// privatelink's answers divided by this server's, in the same run.
    pub ratio: f64,
    /// CPU time per answer in microseconds, the kernel's part included.
    pub cost: f64,
}

/// Measures all servers that this machine has, in interleaved rounds.
///
/// # Errors
/// When one does not start, or dnsperf fails.
pub fn measure(rounds: u32) -> Result<Names> {
    let lab = Lab::quickstart()?;
    // A rate that does not limit the benchmark's one client.
    let config = include_str!("../../../examples/quickstart.toml").replacen(
        "dns = true\n",
        "dns = true\ndns_rate = \"1G\"\n",
        1,
    );
    let daemon = Daemon::start_binary(&daemon::find_binary()?, lab.gateway(), &config)?;
    let files = TempDir::new()?;
    let queries = files.path().join("queries");
    std::fs::write(&queries, format!("{NAME} A\n{NAME} AAAA\n"))?;
    let mut servers = vec![("privatelink", 53, own(&daemon)?, None)];
    if let Some(process) = start(&lab, "dnsmasq", &dnsmasq(5_301))? {
        servers.push(("dnsmasq", 5_301, process.id(), Some(process)));
    }
    let conf = unbound(files.path(), 5_302)?;
    if let Some(process) = start(&lab, "unbound", &["-d", "-p", "-c", &conf].map(str::to_owned))? {
        servers.push(("unbound", 5_302, process.id(), Some(process)));
    }
    ensure!(servers.len() > 1, "there is neither dnsmasq nor unbound to compare with");
    let acme = lab.host("acme");
    for (name, port, ..) in &servers {
        wait_until(SOON, name, || answers(acme, *port))?;
    }
    let mut figures = vec![Figures::default(); servers.len()];
    for _ in 0..rounds {
        for ((_, port, id, _), figures) in servers.iter().zip(&mut figures) {
            let before = cpu_time(*id)?;
            let round = round(acme, *port, &queries)?;
            figures.time += (cpu_time(*id)? - before).as_secs_f64();
            figures.answers += round.answers;
            figures.rates.push(round.rate);
            figures.lost = figures.lost.max(round.lost);
        }
    }
    let own = figures.first_mut().map_or(0.0, |figures| median(&mut figures.rates));
    let mut all = Vec::new();
    for ((name, ..), figures) in servers.iter().zip(&mut figures) {
        let answers = median(&mut figures.rates);
        all.push(Server {
            name: (*name).to_owned(),
            answers,
            lost: figures.lost,
            ratio: own / answers,
            cost: figures.time * 1e6 / figures.answers,
        });
    }
    Ok(Names { servers: all })
}

/// The sums over the rounds of one server.
#[derive(Clone, Debug, Default)]
struct Figures {
    rates: Vec<f64>,
    lost: f64,
    answers: f64,
    time: f64,
}

/// The figures that dnsperf prints.
struct Round {
    rate: f64,
    lost: f64,
    answers: f64,
}

/// The process of privatelink's name server.
fn own(daemon: &Daemon) -> Result<u32> {
    let output = daemon.output();
    let id = output.lines().find_map(|line| line.split("the name server is process ").nth(1));
    Ok(id.context("the daemon has no name server")?.trim().parse()?)
}

/// Starts a server in the gateway's namespace; `None` if it is not installed.
fn start(lab: &Lab, program: &str, words: &[String]) -> Result<Option<Process>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(None);
    }
    let mut command = lab.gateway().command(program);
    command.args(words);
    Process::spawn(program, command).map(Some)
}

fn dnsmasq(port: u16) -> Vec<String> {
    [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--bind-interfaces",
        &format!("--listen-address={ADDRESS}"),
        &format!("--port={port}"),
        &format!("--host-record={NAME},{ANSWER},fd00:1::50,60"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Writes a configuration with as many threads as privatelink has workers, and the same records.
fn unbound(folder: &Path, port: u16) -> Result<String> {
    let threads = std::thread::available_parallelism()?;
    let text = format!(
        "server:\n  interface: {ADDRESS}@{port}\n  access-control: 0.0.0.0/0 allow\n  \
         num-threads: {threads}\n  so-reuseport: yes\n  chroot: \"\"\n  username: \"\"\n  \
         directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  log-queries: no\n  \
         module-config: \"iterator\"\n  local-zone: \"internal.\" static\n  \
         local-data: \"{NAME}. 60 IN A {ANSWER}\"\n  \
         local-data: \"{NAME}. 60 IN AAAA fd00:1::50\"\nremote-control:\n  control-enable: no\n",
        folder.display()
    );
    let path = folder.join("unbound.conf");
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn answers(host: &Host, port: u16) -> bool {
    let mut dig = host.command("dig");
    dig.args(["+short", "+tries=1", "+timeout=1", "-p", &port.to_string()]);
    let said = tool::run(dig.args([&format!("@{ADDRESS}"), NAME]));
    said.is_ok_and(|said| said.trim() == ANSWER)
}

/// Runs dnsperf for one round.
fn round(host: &Host, port: u16, queries: &Path) -> Result<Round> {
    let mut dnsperf = host.command("dnsperf");
    dnsperf.args(["-s", ADDRESS, "-p", &port.to_string(), "-l", ROUND, "-c", "8", "-T", "1"]);
    let said = tool::run(dnsperf.args(["-q", "200", "-d"]).arg(queries))?;
    let field = |key: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key));
        line.with_context(|| format!("dnsperf did not print \"{key}\":\n{said}"))
    };
    let rate: f64 = field("Queries per second:")?.trim().parse()?;
    let lost = field("Queries lost:")?;
    let lost = lost.split_once('(').and_then(|(_, rest)| rest.split_once('%'));
    let lost: f64 =
        lost.context("dnsperf did not print the percentage of lost queries")?.0.parse()?;
    let answers = field("Queries completed:")?.split_whitespace().next();
    let answers = answers.context("dnsperf did not print the number of answers")?.parse()?;
    Ok(Round { rate, lost, answers })
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [name, rate, lost, ratio, cost] =
            ["SERVER", "ANSWERS/S", "LOST", "PRIVATELINK/THIS", "US/ANSWER"];
        writeln!(f, "{name:<12} {rate:>10} {lost:>7} {ratio:>18} {cost:>10}")?;
        for Server { name, answers, lost, ratio, cost } in &self.servers {
            writeln!(f, "{name:<12} {answers:>10.0} {lost:>6.2}% {ratio:>18.2} {cost:>10.1}")?;
        }
        Ok(())
    }
}
