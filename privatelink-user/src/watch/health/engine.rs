//! Schedules and runs the checks, and counts each outcome in its target's assessment.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    assessment::{Assessment, Outcome, Thresholds},
    check::Check,
    jitter::Jitter,
    probe::{Failure, Passed, Trust, probe},
    suspicion::{APART, Suspicion, Verdict},
};
use crate::{
    state::targets::{Condition, Health, TargetKey},
    supervision::keep_working,
    timestamp::Timestamp,
};

/// Maximum number of concurrent checks: dead targets hold a socket until the timeout.
const AT_A_TIME: usize = 512;
/// Minimum connect timeout for a suspected target.
const HURRY: Duration = Duration::from_millis(200);
/// Checks that are due within this time begin together: a wakeup costs as much as a check.
const TOGETHER: Duration = Duration::from_millis(50);

/// A message to the thread.
enum Command {
    Follow(BTreeMap<TargetKey, Check>),
    Assume(BTreeMap<TargetKey, Condition>),
    Suspect(TargetKey),
}

/// The handle of the thread that runs the checks; the thread ends when this is dropped.
#[derive(Debug)]
pub struct Checks(mpsc::UnboundedSender<Command>);

/// The reports of that thread.
#[derive(Debug)]
pub struct HealthReports(mpsc::UnboundedReceiver<HealthReport>);

/// A target's condition has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The target.
    pub key: TargetKey,
    /// Its new condition.
    pub condition: Condition,
}

impl Checks {
    /// Starts the thread, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start() -> io::Result<(Self, HealthReports)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (commands, mut orders) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::unbounded_channel();
        let work = move || {
            let mut engine = Engine::new(reports);
            keep_working("the thread of health checks", || {
                engine.resume();
                runtime.block_on(engine.run(&mut orders));
            });
        };
        thread::Builder::new().name("health".into()).spawn(work)?;
        Ok((Self(commands), HealthReports(reported)))
    }

    /// Runs these checks from now on, and no others.
    ///
    /// New targets are checked at once. A target whose check has changed keeps its health until the
    /// first outcome.
    pub fn follow(&self, wanted: BTreeMap<TargetKey, Check>) {
        self.tell(Command::Follow(wanted));
    }

    /// Seeds newly checked targets with their last known health.
    pub fn assume(&self, known: BTreeMap<TargetKey, Condition>) {
        self.tell(Command::Assume(known));
    }

    /// Checks a target at once because clients' flows to it fail. If it refuses, or does not answer
    /// two quick checks, it is unhealthy.
    pub fn suspect(&self, key: TargetKey) {
        self.tell(Command::Suspect(key));
    }

    fn tell(&self, command: Command) {
        // The thread runs until this sender is dropped, so sending cannot fail.
        let _ = self.0.send(command);
    }
}

impl HealthReports {
    /// Waits for the next report; `None` if the thread has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<HealthReport> {
        self.0.recv().await
    }

    /// The next report, if one is queued.
    pub fn waiting(&mut self) -> Option<HealthReport> {
        self.0.try_recv().ok()
    }
}

/// A target and the state of its check.
struct CheckedTarget {
    check: Arc<Check>,
    assessment: Assessment,
    /// When its health last changed.
    since: Timestamp,
    stage: Stage,
    suspicion: Suspicion,
    /// How long the last connection took.
    connected_in: Duration,
}

/// The state of a target's next check.
enum Stage {
    /// None, because of an obstacle.
    Idle,
    /// Scheduled.
    Due(Instant),
    /// Running.
    Running { round: u64, task: AbortHandle },
}

/// A finished check.
struct Ended {
    key: TargetKey,
    round: u64,
    begun: Instant,
    /// `None` if the check has panicked.
    result: Option<Result<Passed, Failure>>,
}

struct Engine {
    started: Instant,
    targets: BTreeMap<TargetKey, CheckedTarget>,
    assumed: BTreeMap<TargetKey, Condition>,
    due: BTreeSet<(Instant, TargetKey)>,
    running: JoinSet<Ended>,
    rounds: u64,
    trust: Trust,
    jitter: Jitter,
    reports: mpsc::UnboundedSender<HealthReport>,
}

impl Engine {
    fn new(reports: mpsc::UnboundedSender<HealthReport>) -> Self {
        Self {
            started: Instant::now(),
            targets: BTreeMap::new(),
            assumed: BTreeMap::new(),
            due: BTreeSet::new(),
            running: JoinSet::new(),
            rounds: 0,
            trust: Trust::default(),
            jitter: Jitter::seeded(),
            reports,
        }
    }

    /// Schedules what a panic has left without a check.
    fn resume(&mut self) {
        let now = Instant::now();
        let is_left = |target: &CheckedTarget| {
            matches!(target.stage, Stage::Idle) && target.check.obstacle.is_none()
        };
        let left = self.targets.iter().filter(|(_, target)| is_left(target));
        let left: Vec<_> = left.map(|(key, _)| key.clone()).collect();
        left.iter().for_each(|key| self.schedule(key, now));
    }

    async fn run(&mut self, orders: &mut mpsc::UnboundedReceiver<Command>) {
        loop {
            let room = self.running.len() < AT_A_TIME;
            let next = self.due.first().map(|(when, _)| *when).filter(|_| room);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Command::Follow(wanted)) => self.follow(wanted),
                    Some(Command::Assume(known)) => self.assumed = known,
                    Some(Command::Suspect(key)) => self.suspect(&key),
                    None => return,
                },
                // An aborted check has no outcome.
                Some(Ok(ended)) = self.running.join_next() => self.take_in(ended),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.begin_due();
                }
            }
        }
    }

    fn follow(&mut self, mut wanted: BTreeMap<TargetKey, Check>) {
        let gone: Vec<_> =
            self.targets.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.cancel(&key);
            self.targets.remove(&key);
        }
        wanted.retain(|key, check| {
            self.targets.get(key).is_none_or(|target| *target.check != *check)
        });
        for (key, check) in wanted {
            self.cancel(&key);
            let target = self.targets.remove(&key);
            let (assessment, since) = match (target, self.assumed.remove(&key)) {
                (Some(target), _) => (target.assessment, target.since),
                (None, Some(known)) => (Assessment::of(known.health, known.reason), known.since),
                (None, None) => (Assessment::default(), Timestamp::now()),
            };
            self.begin_with(key, check, assessment, since);
        }
        self.assumed.clear();
    }

    fn begin_with(
        &mut self,
        key: TargetKey,
        check: Check,
        mut assessment: Assessment,
        since: Timestamp,
    ) {
        let idle = check.obstacle.is_some();
        if let Some(obstacle) = &check.obstacle {
            assessment = Assessment::of(assessment.health, format!("not checked: {obstacle}"));
        }
        let check = Arc::new(check);
        let target = CheckedTarget {
            check,
            assessment,
            since,
            stage: Stage::Idle,
            suspicion: Suspicion::default(),
            connected_in: Duration::ZERO,
        };
        tell(&self.reports, &key, &target);
        self.targets.insert(key.clone(), target);
        if !idle {
            self.schedule(&key, Instant::now());
        }
    }

    /// Removes a target from the queue, or aborts its running check.
    fn cancel(&mut self, key: &TargetKey) {
        let Some(target) = self.targets.get_mut(key) else { return };
        match std::mem::replace(&mut target.stage, Stage::Idle) {
            Stage::Idle => {}
            Stage::Due(when) => drop(self.due.remove(&(when, key.clone()))),
            Stage::Running { task, .. } => task.abort(),
        }
    }

    fn schedule(&mut self, key: &TargetKey, when: Instant) {
        if let Some(target) = self.targets.get_mut(key) {
            target.stage = Stage::Due(when);
            self.due.insert((when, key.clone()));
        }
    }

    fn begin_due(&mut self) {
        let now = Instant::now();
        while self.running.len() < AT_A_TIME
            && let Some((when, key)) = self.due.pop_first()
        {
            if when > now {
                self.due.insert((when, key));
                return;
            }
            self.begin(key);
        }
    }

    fn begin(&mut self, key: TargetKey) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        self.rounds += 1;
        let round = self.rounds;
        let check = Arc::clone(&target.check);
        let tls = self.trust.of(&check.how.probe);
        // A distant target gets more time than a near one.
        let hurry = target.suspicion.is_open();
        let patience = hurry.then(|| HURRY.max(target.connected_in * 4));
        let task = self.running.spawn(async move {
            let begun = Instant::now();
            let probed = AssertUnwindSafe(async {
                #[cfg(test)]
                tests::panic_once(check.at);
                probe(&check, tls, patience).await
            });
            let result = probed.catch_unwind().await.ok();
            Ended { key, round, begun, result }
        });
        target.stage = Stage::Running { round, task };
    }

    fn take_in(&mut self, ended: Ended) {
        let Some(target) = self.targets.get_mut(&ended.key) else { return };
        // It finished before it could be aborted.
        if !matches!(target.stage, Stage::Running { round, .. } if round == ended.round) {
            return;
        }
        let how = &target.check.how;
        let Some(result) = ended.result else {
            // A defect of this program says nothing of the target.
            let next = ended.begun + how.interval.get();
            return self.schedule(&ended.key, next);
        };
        let verdict = target.suspicion.is_open().then(|| {
            let certain = result.as_ref().is_err_and(Failure::is_certain);
            target.suspicion.judge(result.is_ok(), certain)
        });
        if verdict == Some(Verdict::Unconfirmed) {
            return self.schedule(&ended.key, ended.begun + APART);
        }
        let before = target.assessment.clone();
        let outcome = match result {
            Ok(Passed { answer, connected_in }) => {
                target.connected_in = connected_in;
                Outcome::Passed(answer)
            }
            Err(why) if verdict == Some(Verdict::Guilty) => Outcome::Confirmed(why.to_string()),
            Err(why) => Outcome::Failed(why.to_string()),
        };
        target.assessment.count(outcome, Thresholds::from(how));
        if target.assessment.health != before.health {
            target.since = Timestamp::now();
        }
        let interval = how.interval.get();
        let pause = if before.health == Health::Initial {
            // The first checks run together; spread the following ones over the whole interval.
            self.jitter.below(interval)
        } else if target.assessment.is_contested() {
            // Confirm a contradicting outcome sooner.
            interval / 2
        } else {
            interval - self.jitter.below(interval / 10)
        };
        let next = together(self.started, ended.begun + pause, interval);
        if target.assessment != before {
            tell(&self.reports, &ended.key, target);
        }
        self.schedule(&ended.key, next);
    }

    fn suspect(&mut self, key: &TargetKey) {
        let now = Instant::now();
        let Some(target) = self.targets.get_mut(key) else { return };
        let idle = matches!(target.stage, Stage::Idle);
        if target.assessment.health != Health::Healthy || idle || !target.suspicion.raise(now) {
            return;
        }
        self.cancel(key);
        self.begin(key.clone());
    }
}

/// Rounds `when` down to the last common moment for checks with this interval.
fn together(started: Instant, when: Instant, interval: Duration) -> Instant {
    // At most 1 % of the interval.
    let step = TOGETHER.min(interval / 100).max(Duration::from_nanos(1));
    let beyond = when.saturating_duration_since(started).as_nanos() % step.as_nanos();
    // Less than a step.
    when - Duration::from_nanos(beyond as u64)
}

fn tell(reports: &mpsc::UnboundedSender<HealthReport>, key: &TargetKey, target: &CheckedTarget) {
    let Assessment { health, reason, .. } = &target.assessment;
    let condition = Condition { health: *health, since: target.since, reason: reason.clone() };
    // The receiver is gone during shutdown.
    let _ = reports.send(HealthReport { key: key.clone(), condition });
}

#[cfg(test)]
mod tests;
