//! Whether the gateway is ready, and what does not work.

use std::time::Duration;

use log::warn;
use tokio::time::Instant;

use crate::{daemon::service_manager, model::Model};

/// How long the daemon waits for next hops, checks and names before it declares itself ready.
const SETTLE: Duration = Duration::from_secs(5);

/// Whether the gateway is ready, since when the daemon runs, and its problems.
#[derive(Debug)]
pub(in crate::daemon) struct Readiness {
    started: Instant,
    ready: bool,
    problems: Vec<String>,
    /// The problems that have been logged, so that each is logged once.
    logged: Vec<String>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new(started: Instant) -> Self {
        Self { started, ready: false, problems: Vec::new(), logged: Vec::new() }
    }

    /// Whether packets can flow.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// How long the daemon has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What does not work.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Declares the gateway ready once everything is settled, or has had its time. `true` if it
    /// has just become ready.
    pub fn update(&mut self, settled: bool, now: Instant) -> bool {
        let becomes_ready = !self.ready && (settled || now >= self.started + SETTLE);
        self.ready |= becomes_ready;
        becomes_ready
    }

    /// Replaces the problems, logs those that are new, and shows the service manager how things
    /// are.
    pub fn report(&mut self, problems: Vec<String>, model: &Model, attached: usize) {
        // Next hops that do not answer at once are no reason to warn.
        if self.ready {
            for problem in problems.iter().filter(|problem| !self.logged.contains(problem)) {
                warn!("{problem}");
            }
            self.logged.clone_from(&problems);
            service_manager::status(&summary(model, attached, problems.len()));
        }
        self.problems = problems;
    }
}

/// How things are, in one line.
fn summary(model: &Model, attached: usize, problems: usize) -> String {
    let mut text = format!(
        "{attached} of {} networks attached, {} services, {} endpoints",
        model.networks().len(),
        model.services().len(),
        model.endpoints().len()
    );
    if problems > 0 {
        text += &format!(", {problems} problems: see `privatelink status`");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_ready_once_settled_or_after_a_while() {
        let start = Instant::now();
        let mut readiness = Readiness::new(start);
        assert!(!readiness.update(false, start) && !readiness.is_ready());
        assert!(readiness.update(true, start) && readiness.is_ready());
        assert!(!readiness.update(true, start), "it was ready before");
        assert!(!readiness.update(false, start) && readiness.is_ready(), "it stays so");
        let mut slow = Readiness::new(start);
        assert!(!slow.update(false, start + SETTLE - Duration::from_millis(1)));
        assert!(slow.update(false, start + SETTLE));
    }
}
