//! Runs the checks: who is due when, so many at a time, each outcome into its target's assessment.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    assessment::{Assessment, Outcome, Thresholds},
    check::Check,
    jitter::Jitter,
    probe::{Passed, Trust, probe},
};
use crate::{
    state::targets::{Condition, Health, TargetKey},
    timestamp::Timestamp,
};

/// Checks that run at a time: dead targets hold a socket until their time is up.
const AT_A_TIME: usize = 512;
/// What a target of which clients complain may take at least to accept a connection.
const HURRY: Duration = Duration::from_millis(200);
/// Checks begin together that would begin within this time: waking up costs as much as checking.
const TOGETHER: Duration = Duration::from_millis(50);
/// How long a target that has just been suspected is not suspected again.
const BENEFIT_OF_DOUBT: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Command {
    Follow(BTreeMap<TargetKey, Check>),
    Assume(BTreeMap<TargetKey, Condition>),
    Suspect(TargetKey),
}

/// The running checks. They end when this is dropped.
#[derive(Debug)]
pub struct Checks(mpsc::UnboundedSender<Command>);

/// What they find out.
#[derive(Debug)]
pub struct HealthReports(mpsc::UnboundedReceiver<HealthReport>);

/// A target's condition is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Whose.
    pub key: TargetKey,
    /// What it is now.
    pub condition: Condition,
}

impl Checks {
    /// Starts the thread that checks, in the network namespace of the calling one.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<(Self, HealthReports)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (commands, orders) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::unbounded_channel();
        let work = move || runtime.block_on(Engine::new(reports).run(orders));
        thread::Builder::new().name("health".into()).spawn(work)?;
        Ok((Self(commands), HealthReports(reported)))
    }

    /// Checks these from now on, and no others.
    ///
    /// What is new is checked at once; what is checked in another way keeps its health meanwhile.
    pub fn follow(&self, wanted: BTreeMap<TargetKey, Check>) {
        self.tell(Command::Follow(wanted));
    }

    /// Takes targets that are checked from now on for what they were known to be.
    pub fn assume(&self, known: BTreeMap<TargetKey, Condition>) {
        self.tell(Command::Assume(known));
    }

    /// Checks a target at once, since clients have trouble with it. One that then does not
    /// answer quickly is unhealthy without a second check.
    pub fn suspect(&self, key: TargetKey) {
        self.tell(Command::Suspect(key));
    }

    fn tell(&self, command: Command) {
        // The thread ends after this value only.
        let _ = self.0.send(command);
    }
}

impl HealthReports {
    /// Waits for the next one; `None` if the checks have ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<HealthReport> {
        self.0.recv().await
    }

    /// The next one, if it is there already.
    pub fn waiting(&mut self) -> Option<HealthReport> {
        self.0.try_recv().ok()
    }
}

/// One target that is checked.
struct CheckedTarget {
    check: Arc<Check>,
    assessment: Assessment,
    /// Since when it has had its health.
    since: Timestamp,
    stage: Stage,
    suspected: Option<Instant>,
    /// How long it took to accept the last connection.
    connected_in: Duration,
}

/// Where its next check is.
enum Stage {
    /// There is none, for an obstacle.
    Idle,
    /// It waits for its time.
    Due(Instant),
    /// It runs.
    Running { round: u64, task: AbortHandle },
}

/// How a check ended: whose, which one, when it began, and whether it was in a hurry.
struct Ended {
    key: TargetKey,
    round: u64,
    begun: Instant,
    hurry: bool,
    result: Result<Passed, String>,
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

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Command>) {
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
                Some(ended) = self.running.join_next() => {
                    // A check that was called off has no outcome.
                    if let Ok(ended) = ended {
                        self.take_in(ended);
                    }
                }
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
            self.call_off(&key);
            self.targets.remove(&key);
        }
        wanted.retain(|key, check| {
            self.targets.get(key).is_none_or(|target| *target.check != *check)
        });
        for (key, check) in wanted {
            self.call_off(&key);
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
            suspected: None,
            connected_in: Duration::ZERO,
        };
        tell(&self.reports, &key, &target);
        self.targets.insert(key.clone(), target);
        if !idle {
            self.put_off(&key, Instant::now());
        }
    }

    /// Takes a target out of the queue, or ends its running check.
    fn call_off(&mut self, key: &TargetKey) {
        let Some(target) = self.targets.get_mut(key) else { return };
        match std::mem::replace(&mut target.stage, Stage::Idle) {
            Stage::Idle => {}
            Stage::Due(when) => drop(self.due.remove(&(when, key.clone()))),
            Stage::Running { task, .. } => task.abort(),
        }
    }

    fn put_off(&mut self, key: &TargetKey, when: Instant) {
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
            self.begin(key, false);
        }
    }

    fn begin(&mut self, key: TargetKey, hurry: bool) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        self.rounds += 1;
        let round = self.rounds;
        let check = Arc::clone(&target.check);
        let tls = self.trust.of(&check.how.probe);
        // One that is far away gets more time than one next door.
        let patience = hurry.then(|| HURRY.max(target.connected_in * 4));
        let task = self.running.spawn(async move {
            let begun = Instant::now();
            let result = probe(&check, tls, patience).await.map_err(|failure| failure.to_string());
            Ended { key, round, begun, hurry, result }
        });
        target.stage = Stage::Running { round, task };
    }

    fn take_in(&mut self, ended: Ended) {
        let Some(target) = self.targets.get_mut(&ended.key) else { return };
        // Called off, but too late.
        if !matches!(target.stage, Stage::Running { round, .. } if round == ended.round) {
            return;
        }
        let how = &target.check.how;
        let before = target.assessment.clone();
        let outcome = match ended.result {
            Ok(Passed { answer, connected_in }) => {
                target.connected_in = connected_in;
                Outcome::Passed(answer)
            }
            Err(why) if ended.hurry => Outcome::Confirmed(why),
            Err(why) => Outcome::Failed(why),
        };
        target.assessment.take_in(outcome, Thresholds::from(how));
        if target.assessment.health != before.health {
            target.since = Timestamp::now();
        }
        let interval = how.interval.get();
        let pause = if before.health == Health::Initial {
            // From here on they are spread over the whole interval.
            self.jitter.below(interval)
        } else if target.assessment.is_contested() {
            // Whatever is new is worth a closer look.
            interval / 2
        } else {
            interval - self.jitter.below(interval / 10)
        };
        let next = together(self.started, ended.begun + pause, interval);
        if target.assessment != before {
            tell(&self.reports, &ended.key, target);
        }
        self.put_off(&ended.key, next);
    }

    fn suspect(&mut self, key: &TargetKey) {
        let now = Instant::now();
        let Some(target) = self.targets.get_mut(key) else { return };
        let forgiven = target.suspected.is_some_and(|when| now < when + BENEFIT_OF_DOUBT);
        let idle = matches!(target.stage, Stage::Idle);
        if target.assessment.health != Health::Healthy || forgiven || idle {
            return;
        }
        target.suspected = Some(now);
        self.call_off(key);
        self.begin(key.clone(), true);
    }
}

/// The last moment until `when` at which checks with such an interval begin.
fn together(started: Instant, when: Instant, interval: Duration) -> Instant {
    // So little of the interval that nobody misses it.
    let step = TOGETHER.min(interval / 100).max(Duration::from_nanos(1));
    let beyond = when.saturating_duration_since(started).as_nanos() % step.as_nanos();
    // Less than a step.
    when - Duration::from_nanos(beyond as u64)
}

fn tell(reports: &mpsc::UnboundedSender<HealthReport>, key: &TargetKey, target: &CheckedTarget) {
    let Assessment { health, reason, .. } = &target.assessment;
    let condition = Condition { health: *health, since: target.since, reason: reason.clone() };
    // Nobody listens any more when the daemon ends.
    let _ = reports.send(HealthReport { key: key.clone(), condition });
}

#[cfg(test)]
mod tests;
