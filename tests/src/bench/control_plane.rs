//! The time that starts, reloads and scrapes take with many endpoints.

use std::{fmt, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::report::median;
use crate::lab::{Daemon, Lab, TOKEN, many, tool};

const ENDPOINTS: u32 = 10_000;
const METRICS: &str = "127.0.0.1:9469";

/// Seconds by what was done, median of the rounds.
#[derive(Debug, Serialize)]
pub struct ControlPlane(Vec<(&'static str, f64)>);

/// Measures `rounds` times, each with a daemon of its own.
///
/// # Errors
/// When the daemon does not start, or writes other map entries than it should.
pub fn measure(max_flows: u32, rounds: u32) -> Result<ControlPlane> {
    let lab = Lab::quickstart()?;
    let gateway = format!("max_flows = {max_flows}\nmetrics = \"{METRICS}\"");
    let config = many::endpoints(&gateway, ENDPOINTS);
    let changed = config.replacen(&many::address(ENDPOINTS / 2), "10.1.250.1", 1);
    let mut figures: Vec<(&'static str, Vec<f64>)> = Vec::new();
    for _ in 0..rounds {
        for (index, (what, seconds)) in round(&lab, &config, &changed)?.into_iter().enumerate() {
            match figures.get_mut(index) {
                Some((_, all)) => all.push(seconds),
                None => figures.push((what, vec![seconds])),
            }
        }
    }
    let medians = figures.into_iter().map(|(what, mut seconds)| (what, median(&mut seconds)));
    Ok(ControlPlane(medians.collect()))
}

fn round(lab: &Lab, config: &str, changed: &str) -> Result<Vec<(&'static str, f64)>> {
    let mut figures = Vec::new();
    let begin = Instant::now();
    let mut daemon = Daemon::start(lab.gateway(), config)?;
    figures.push(("start", begin.elapsed().as_secs_f64()));
    daemon.kill();
    let begin = Instant::now();
    daemon.run()?;
    figures.push(("start with everything pinned", begin.elapsed().as_secs_f64()));
    for (what, command) in [("plan, no change", "plan"), ("reload, no change", "reload")] {
        let (entries, seconds) = entries(&daemon, command)?;
        ensure!(entries == 0, "{command} without a change writes {entries} map entries");
        figures.push((what, seconds));
    }
    daemon.write_config(changed)?;
    let (entries, seconds) = entries(&daemon, "reload")?;
    // The endpoint's record, its new address and its old one.
    ensure!(entries == 3, "one changed address writes {entries} map entries");
    figures.push(("reload, one endpoint changed", seconds));
    let begin = Instant::now();
    daemon.status()?;
    figures.push(("status", begin.elapsed().as_secs_f64()));
    figures.push(("scrape", scrape(lab)?));
    Ok(figures)
}

/// Runs `plan` or `reload`; returns the map entries that it writes, and the seconds that it took.
fn entries(daemon: &Daemon, command: &str) -> Result<(u64, f64)> {
    let begin = Instant::now();
    let answer = daemon.ask(&[command, "--json"])?;
    let seconds = begin.elapsed().as_secs_f64();
    let entries = answer.get("entries").and_then(Value::as_u64);
    Ok((entries.with_context(|| format!("`privatelink {command}` printed no `entries`"))?, seconds))
}

/// Scrapes the metrics, checks that each endpoint is there, and returns curl's time.
fn scrape(lab: &Lab) -> Result<f64> {
    let mut command = lab.gateway().command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
    command.args(["--write-out", "%{time_total}"]);
    command.args(["--header", &format!("authorization: Bearer {TOKEN}")]);
    let text = tool::run(command.arg(format!("http://{METRICS}/metrics")))?;
    let (page, seconds) = text.rsplit_once('\n').context("curl printed no time")?;
    let endpoints = page.matches("privatelink_endpoint_active_flows{").count();
    ensure!(endpoints == ENDPOINTS as usize, "the metrics have {endpoints} endpoints");
    Ok(seconds.parse()?)
}

impl fmt::Display for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{ENDPOINTS} endpoints, median of the rounds:")?;
        for (what, seconds) in &self.0 {
            writeln!(f, "{what:<30} {seconds:>7.3} s")?;
        }
        Ok(())
    }
}
