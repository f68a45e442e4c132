//! Whether the gateway is ready, and what does not work.

use std::time::Duration;

use log::{info, warn};
use tokio::time::Instant;

use crate::{
    daemon::{paced_count::PacedCount, service_manager},
    model::Model,
    token_bucket::{Rate, TokenBucket},
};

/// How long the daemon waits for targets before it declares itself ready. Those that live answer
/// within milliseconds, and others must hold nothing up.
const TARGETS: Duration = Duration::from_secs(2);
/// How long it waits for names to be served: an IPv6 address cannot be used before the kernel has
/// seen that no other host has it.
const NAMES: Duration = Duration::from_secs(5);

/// How many problems have a line of the log each: at most 60 in any minute. There may be thousands,
/// and hosts that flap make and end them.
const LINES: Rate = Rate { burst: 30, refill: Duration::from_secs(2) };

/// Whether the gateway is ready, since when the daemon runs, and its problems.
#[derive(Debug)]
pub(in crate::daemon) struct Readiness {
    started: Instant,
    ready: bool,
    /// What it waits for.
    pending: Pending,
    /// Why the last reload was refused.
    refused: Option<String>,
    problems: Vec<String>,
    /// The problems that have been logged, so that each is logged once.
    logged: Vec<String>,
    lines: TokenBucket,
    /// The new problems that had no line.
    unlogged: PacedCount,
}

/// What is still missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Pending {
    /// Next hops and first checks of targets.
    pub targets: Vec<String>,
    /// Whether names are not served yet that should be.
    pub names: bool,
}

impl Pending {
    /// The first things that are missing.
    fn words(&self) -> Vec<String> {
        const SHOWN: usize = 3;
        let mut words: Vec<String> = self.targets.iter().take(SHOWN).cloned().collect();
        if let Some(more) = self.targets.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            words.push(format!("{more} more targets"));
        }
        words.extend(self.names.then(|| "names to be served".to_owned()));
        words
    }
}

impl Readiness {
    /// Not ready yet.
    pub fn new(started: Instant) -> Self {
        let (lines, unlogged) = (TokenBucket::full(started.into_std()), PacedCount::default());
        let (problems, logged) = (Vec::new(), Vec::new());
        let (pending, refused) = (Pending::default(), None);
        Self { started, ready: false, pending, refused, problems, logged, lines, unlogged }
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

    /// What the gateway waits for before it declares itself ready.
    pub fn waits_for(&self) -> Vec<String> {
        if self.ready { Vec::new() } else { self.pending.words() }
    }

    /// Declares the gateway ready once nothing is missing, or has had its time. `true` if it has
    /// just become ready.
    pub fn update(&mut self, pending: Pending, now: Instant) -> bool {
        if self.ready {
            return false;
        }
        let has_targets = pending.targets.is_empty() || now >= self.started + TARGETS;
        let has_names = !pending.names || now >= self.started + NAMES;
        self.ready = has_targets && has_names;
        let words = pending.words().join(", ");
        if self.ready && !words.is_empty() {
            warn!("ready, without {words}");
        } else if !self.ready && pending != self.pending {
            info!("not ready yet: waits for {words}");
        }
        self.pending = pending;
        self.ready
    }

    /// Notes the outcome of a reload: a refusal is a problem until one is applied.
    pub fn note_reload(&mut self, refused: Option<String>) {
        let before = std::mem::replace(&mut self.refused, refused);
        self.problems.retain(|problem| Some(problem) != before.as_ref());
        self.problems.splice(0..0, self.refused.clone());
    }

    /// Replaces the problems, logs those that are new, and shows the service manager how things
    /// are.
    pub fn report(&mut self, mut problems: Vec<String>, model: &Model, attached: usize) {
        // The reload has logged it.
        self.logged.extend(self.refused.clone());
        problems.splice(0..0, self.refused.clone());
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
        let none = Pending::default;
        let dead =
            || Pending { targets: vec!["the next hop 10.0.0.9 to answer".into()], names: false };
        assert!(!readiness.update(dead(), start) && !readiness.is_ready());
        assert_eq!(readiness.waits_for(), ["the next hop 10.0.0.9 to answer"]);
        assert!(readiness.update(none(), start) && readiness.is_ready());
        assert!(!readiness.update(none(), start), "it was ready before");
        assert!(!readiness.update(dead(), start) && readiness.is_ready(), "it stays so");
        assert_eq!(readiness.waits_for(), [""; 0]);
        let mut slow = Readiness::new(start);
        assert!(!slow.update(dead(), start + TARGETS - Duration::from_millis(1)));
        assert!(slow.update(dead(), start + TARGETS), "one dead target holds up little");
        let mut nameless = Readiness::new(start);
        let names = || Pending { names: true, ..dead() };
        assert!(!nameless.update(names(), start + TARGETS));
        assert_eq!(nameless.waits_for(), ["the next hop 10.0.0.9 to answer", "names to be served"]);
        assert!(nameless.update(names(), start + NAMES));
    }

    #[test]
    fn a_refused_reload_is_a_problem_until_one_is_applied() {
        let mut readiness = Readiness::new(Instant::now());
        let text = include_str!("../../../../examples/quickstart.toml");
        let model = crate::config::from_text("test.toml", text).unwrap().model;
        readiness.report(vec!["other".into()], &model, 2);
        readiness.note_reload(Some("refused".into()));
        assert_eq!(readiness.problems(), ["refused", "other"]);
        readiness.report(Vec::new(), &model, 2);
        assert_eq!(readiness.problems(), ["refused"], "it outlasts a reconciliation");
        readiness.note_reload(Some("again".into()));
        assert_eq!(readiness.problems(), ["again"]);
        readiness.note_reload(None);
        assert_eq!(readiness.problems(), [""; 0]);
    }
}
