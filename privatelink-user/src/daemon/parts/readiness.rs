//! Whether the gateway is ready, and what does not work.

use std::time::Duration;

use log::warn;
use tokio::time::Instant;

use crate::{
    daemon::{paced_count::PacedCount, service_manager},
    model::Model,
    token_bucket::{Rate, TokenBucket},
};

/// How long the daemon waits for next hops, checks and names before it declares itself ready.
const SETTLE: Duration = Duration::from_secs(5);

/// How many problems have a line of the log each: at most 60 in any minute. There may be thousands,
/// and hosts that flap make and end them.
const LINES: Rate = Rate { burst: 30, refill: Duration::from_secs(2) };

/// Whether the gateway is ready, since when the daemon runs, and its problems.
#[derive(Debug)]
pub(in crate::daemon) struct Readiness {
    started: Instant,
    ready: bool,
    problems: Vec<String>,
    /// The problems that have been logged, so that each is logged once.
    logged: Vec<String>,
    lines: TokenBucket,
    /// The new problems that had no line.
    unlogged: PacedCount,
}

impl Readiness {
    /// Not ready yet.
    pub fn new(started: Instant) -> Self {
        let (lines, unlogged) = (TokenBucket::full(started.into_std()), PacedCount::default());
        let (problems, logged) = (Vec::new(), Vec::new());
        Self { started, ready: false, problems, logged, lines, unlogged }
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
            let lines = self.lines(&problems, std::time::Instant::now());
            lines.iter().for_each(|line| warn!("{line}"));
            service_manager::status(&summary(model, attached, problems.len()));
        }
        self.problems = problems;
    }
}

impl Readiness {
    /// What is logged of these problems: those that are new, as far as there is room.
    fn lines(&mut self, problems: &[String], now: std::time::Instant) -> Vec<String> {
        let new = problems.iter().filter(|problem| !self.logged.contains(problem));
        let (mut lines, mut unlogged) = (Vec::new(), 0);
        for problem in new {
            if self.lines.take(LINES, now) {
                lines.push(problem.clone());
            } else {
                unlogged += 1;
            }
        }
        if let Some(count) = self.unlogged.add(unlogged, now) {
            lines.push(format!("{count} more problems: see `privatelink status`"));
        }
        self.logged = problems.to_vec();
        lines
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
    fn problems_that_come_and_go_do_not_fill_the_log() {
        let start = Instant::now();
        let mut readiness = Readiness::new(start);
        let problem = |number: u32| format!("service noisy: target {number} does not answer");
        let mut logged = 0;
        for tenth in 0..600 {
            let now = start.into_std() + Duration::from_millis(100 * tenth);
            let problems: Vec<_> =
                if tenth % 2 == 0 { (0..500).map(problem).collect() } else { Vec::new() };
            let lines = readiness.lines(&problems, now);
            assert!(tenth > 0 || lines.len() == 31 && lines[30].starts_with("470 more problems"));
            logged += lines.len();
        }
        // A minute's worth of single ones, and six sums.
        assert!((55..=67).contains(&logged), "{logged}");
        let known = vec![problem(1)];
        readiness.lines(&known, start.into_std() + Duration::from_secs(200));
        let again = readiness.lines(&known, start.into_std() + Duration::from_secs(300));
        assert!(again.is_empty(), "it is logged once: {again:?}");
    }

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
