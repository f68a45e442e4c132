//! The CPU time that health checks of many targets take.

use std::{fmt, thread, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::lab::{Daemon, Lab, Provider, many, wait_until};

/// One target each, checked every ten seconds, as is the default.
const SERVICES: u32 = 2_000;
/// Three rounds of checks.
const SIDE: Duration = Duration::from_secs(30);
const CHECKS: usize = SERVICES as usize * 3;
/// All targets are healthy by then, on a busy machine too.
const HEALTHY: Duration = Duration::from_secs(60);

/// What was measured, by protocol.
#[derive(Debug, Serialize)]
pub struct HealthChecks(Vec<Figure>);

#[derive(Debug, Serialize)]
struct Figure {
    protocol: &'static str,
    checks: usize,
    /// CPU time of the daemon, in hundredths of one core.
    percent: f64,
}

/// Measures checks over TCP and over HTTP.
///
/// # Errors
/// When a target does not become healthy, or when the daemon makes too few or too many checks.
pub fn measure() -> Result<HealthChecks> {
    let checks = [("tcp", "protocol = \"tcp\""), ("http", "protocol = \"http\", path = \"/\"")];
    let figures = checks.into_iter().map(|(protocol, keys)| figure(protocol, keys));
    Ok(HealthChecks(figures.collect::<Result<_>>()?))
}

fn figure(protocol: &'static str, keys: &str) -> Result<Figure> {
    let keys = format!(
        "listener = [{{ protocol = \"tcp\", port = 80, target_port = 8080 }}]\n\
         health_check = {{ {keys} }}"
    );
    let lab = Lab::quickstart()?;
    let provider = Provider::start(lab.host("vendor"))?;
    let daemon = Daemon::start(lab.gateway(), &many::services("", SERVICES, &keys))?;
    wait_until(HEALTHY, "all targets are healthy", || {
        let targets = daemon.ask(&["targets", "--json"]).unwrap_or_default();
        let all = targets.as_array().map(Vec::as_slice).unwrap_or_default();
        let healthy = all.iter().filter(|target| {
            target.get("health").and_then(|health| health.as_str()) == Some("healthy")
        });
        healthy.count() == SERVICES as usize
    })?;
    let (checks, used) = (provider.seen().len(), daemon.cpu_time()?);
    // A share of time is measured, so there is no condition to wait for.
    thread::sleep(SIDE);
    let (checks, used) = (provider.seen().len() - checks, daemon.cpu_time()? - used);
    ensure!(
        checks > CHECKS * 9 / 10 && checks < CHECKS * 5 / 4,
        "{checks} checks over {protocol} in {SIDE:?} instead of {CHECKS}"
    );
    let percent = used.as_secs_f64() / SIDE.as_secs_f64() * 100.0;
    Ok(Figure { protocol, checks, percent })
}

impl fmt::Display for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{SERVICES} targets, each checked every ten seconds, for {SIDE:?}")?;
        for Figure { protocol, checks, percent } in &self.0 {
            writeln!(f, "{protocol:<5} {checks:>6} checks, {percent:>4.1} % of one core")?;
        }
        Ok(())
    }
}
