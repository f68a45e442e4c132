//! When the loop does what no message asks for. Pure: every moment is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Changes come in bursts: those within this time are reconciled together.
const BURST: Duration = Duration::from_millis(10);
/// Requests come in bursts as well. What can wait is done when none has come for this time, ...
const LULL: Duration = Duration::from_millis(100);
/// ... and after this time whatever comes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often maps and interfaces are compared with what was written, in case another program
/// writes there.
const VERIFY: Duration = Duration::from_secs(30);
/// When to retry after a failure, and to look again while the gateway is not ready.
const RETRY: Duration = Duration::from_millis(200);
/// The time between two parts of a sweep of the flow table.
const SWEEP: Duration = Duration::from_millis(250);
/// How often the daemon looks how new flows to targets go.
const SYMPTOMS: Duration = Duration::from_millis(200);
/// How often the daemon looks for what no message reports.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Reconcile.
    Converge,
    /// Compare the maps with what was written, and reconcile.
    Verify,
    /// Sweep the next part of the flow table.
    Sweep,
    /// Go on with a sweep that has more to do.
    Continue,
    /// Look how new flows to targets go.
    Symptoms,
    /// Look for what no message reports.
    LookAround,
    /// Tell the service manager that the loop goes round.
    Watchdog,
}

/// Something that is done again and again.
#[derive(Clone, Copy, Debug)]
struct Periodic {
    timer: Timer,
    period: Duration,
    due: Instant,
}

/// When each timer is due.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When to reconcile a change, or to retry what failed.
    change: Option<Instant>,
    /// Since when something waits for a lull of requests, and when the last of them came.
    waiting: Option<(Instant, Instant)>,
    verify: Instant,
    /// When to look again, while the gateway is not ready.
    look: Option<Instant>,
    /// When time alone changes what packets meet.
    deadline: Option<Instant>,
    /// Whether there is work that waits only for other work to be done before.
    busy: bool,
    periodic: Vec<Periodic>,
}

impl Schedule {
    /// Everything periodic is due at once, and then again after each period.
    pub fn new(now: Instant, watchdog: Option<Duration>) -> Self {
        let all = [
            (Timer::Sweep, Some(SWEEP)),
            (Timer::Symptoms, Some(SYMPTOMS)),
            (Timer::LookAround, Some(LOOK_AROUND)),
            (Timer::Watchdog, watchdog),
        ];
        let periodic = all.into_iter().filter_map(|(timer, period)| {
            period.map(|period| Periodic { timer, period, due: now })
        });
        let periodic = periodic.collect();
        Self {
            change: None,
            waiting: None,
            verify: now + VERIFY,
            look: None,
            deadline: None,
            busy: false,
            periodic,
        }
    }

    /// Something has changed: reconcile together with what else changes shortly.
    pub fn changed(&mut self, now: Instant) {
        self.change.get_or_insert(now + BURST);
    }

    /// Something is missing: reconcile at once.
    pub fn hurry(&mut self, now: Instant) {
        self.change.get_or_insert(now);
    }

    /// A request has left something to do that can wait until no more of its kind come.
    pub fn lull(&mut self, now: Instant) {
        let (since, _) = self.waiting.unwrap_or((now, now));
        self.waiting = Some((since, now));
    }

    /// Something has failed: retry soon.
    pub fn retry(&mut self, now: Instant) {
        self.change.get_or_insert(now + RETRY);
    }

    /// The gateway has been reconciled. Until it is ready, look again soon.
    pub fn converged(&mut self, now: Instant, ready: bool) {
        self.look = (!ready).then(|| now + RETRY);
    }

    /// Time alone changes what packets meet then.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Whether there is work to go on with, whenever nothing else is due.
    pub fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// When the next timer is due.
    pub fn next(&self, now: Instant) -> Instant {
        if self.busy {
            return now;
        }
        let periodic = self.periodic.iter().map(|one| one.due);
        periodic.fold(self.convergence(), Instant::min)
    }

    /// Takes the timer that has been due for longest, if one is, and schedules it anew.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let convergence = self.convergence();
        let first = self.periodic.iter_mut().min_by_key(|one| one.due);
        if let Some(first) = first.filter(|first| first.due < convergence) {
            // Counted from now: what was missed while the loop was busy is not made up for.
            if first.due > now {
                return self.busy.then_some(Timer::Continue);
            }
            first.due = now + first.period;
            return Some(first.timer);
        }
        if convergence > now {
            return self.busy.then_some(Timer::Continue);
        }
        Some({
            (self.change, self.waiting, self.look) = (None, None, None);
            if now < self.verify {
                Timer::Converge
            } else {
                self.verify = now + VERIFY;
                Timer::Verify
            }
        })
    }

    /// When to reconcile. A change that waits comes first: what else is due is done with it, and a
    /// failure is not retried sooner.
    fn convergence(&self) -> Instant {
        let waiting = self.waiting.map(|(since, last)| Instant::min(since + PATIENCE, last + LULL));
        let others = [self.look, self.deadline, waiting].into_iter().flatten();
        self.change.unwrap_or_else(|| others.fold(self.verify, Instant::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A schedule whose periodic timers have all fired once, at `now`.
    fn served(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(now, None);
        while schedule.take_due(now).is_some() {}
        schedule
    }

    /// Serves whatever is due until `end`, and returns what that was, and when.
    fn play(schedule: &mut Schedule, start: Instant, end: Instant) -> Vec<(Timer, Duration)> {
        let mut seen = Vec::new();
        while schedule.next(start) <= end {
            let now = schedule.next(start);
            let timer = schedule.take_due(now).expect("something is due");
            seen.push((timer, now - start));
        }
        seen
    }

    #[test]
    fn periodic_timers_begin_at_once_and_come_again() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now, Some(300 * MS));
        let seen = play(&mut schedule, now, now + 500 * MS);
        let times = |of| -> Vec<u128> {
            let times = seen.iter().filter(|(timer, _)| *timer == of);
            times.map(|(_, when)| when.as_millis()).collect()
        };
        assert_eq!(times(Timer::Sweep), [0, 250, 500]);
        assert_eq!(times(Timer::Symptoms), [0, 200, 400]);
        assert_eq!(times(Timer::LookAround), [0]);
        assert_eq!(times(Timer::Watchdog), [0, 300]);
        assert_eq!(times(Timer::Converge), [0; 0]);
    }

    #[test]
    fn a_busy_loop_makes_up_for_nothing_and_starves_no_timer() {
        let now = Instant::now();
        let mut schedule = served(now);
        let late = now + Duration::from_secs(5);
        schedule.changed(late - BURST);
        let mut seen: Vec<Timer> = Vec::new();
        while let Some(timer) = schedule.take_due(late) {
            seen.push(timer);
        }
        // Each once, the one that was due first before the others.
        let order = [Timer::Symptoms, Timer::Sweep, Timer::LookAround, Timer::Converge];
        assert_eq!(seen, order);
    }

    #[test]
    fn long_work_goes_on_between_everything_else() {
        let now = Instant::now();
        let mut schedule = served(now);
        schedule.set_busy(true);
        assert_eq!((schedule.next(now), schedule.take_due(now)), (now, Some(Timer::Continue)));
        let later = now + SYMPTOMS;
        schedule.hurry(later);
        assert_eq!(schedule.take_due(later), Some(Timer::Converge));
        assert_eq!(schedule.take_due(later), Some(Timer::Symptoms));
        assert_eq!(schedule.take_due(later), Some(Timer::Continue));
        schedule.set_busy(false);
        assert_eq!(schedule.take_due(later), None);
    }

    #[test]
    fn a_burst_of_changes_is_reconciled_once() {
        let now = Instant::now();
        let mut schedule = served(now);
        schedule.changed(now);
        schedule.changed(now + 9 * MS);
        schedule.retry(now + 9 * MS);
        assert_eq!(play(&mut schedule, now, now + 100 * MS), [(Timer::Converge, BURST)]);
        schedule.hurry(now + 100 * MS);
        assert_eq!(schedule.take_due(now + 100 * MS), Some(Timer::Converge));
        assert_eq!(schedule.take_due(now + 100 * MS), None);
    }

    #[test]
    fn what_can_wait_is_done_in_a_lull_of_requests_or_when_it_has_waited_long() {
        let now = Instant::now();
        let mut schedule = served(now);
        let mut last = now;
        while last + 50 * MS < now + PATIENCE {
            last += 50 * MS;
            schedule.lull(last);
        }
        let converged = |schedule: &mut Schedule, until| -> Vec<Duration> {
            let seen = play(schedule, now, until);
            seen.iter().filter(|(one, _)| *one == Timer::Converge).map(|(_, when)| *when).collect()
        };
        assert_eq!(converged(&mut schedule, now + PATIENCE + LULL), [50 * MS + PATIENCE]);
        // One alone waits for no others, and a change for nothing.
        let later = now + 3 * PATIENCE;
        schedule.lull(later);
        assert_eq!(converged(&mut schedule, later + LULL), [later + LULL - now]);
        schedule.lull(later + LULL);
        schedule.changed(later + LULL);
        assert_eq!(converged(&mut schedule, later + 2 * LULL), [later + LULL + BURST - now]);
    }

    #[test]
    fn the_gateway_looks_again_until_it_is_ready() {
        let now = Instant::now();
        let mut schedule = served(now);
        schedule.converged(now, false);
        // Other timers do not put it off.
        assert!(play(&mut schedule, now, now + RETRY).contains(&(Timer::Converge, RETRY)));
        schedule.converged(now + RETRY, true);
        let later = play(&mut schedule, now, now + Duration::from_secs(20));
        assert!(later.iter().all(|(timer, _)| *timer != Timer::Converge), "{later:?}");
    }

    #[test]
    fn time_changes_what_packets_meet_at_the_deadline() {
        let now = Instant::now();
        let mut schedule = served(now);
        schedule.set_deadline(Some(now + 70 * MS));
        assert_eq!(schedule.next(now), now + 70 * MS);
        assert_eq!(schedule.take_due(now + 69 * MS), None);
        assert_eq!(schedule.take_due(now + 70 * MS), Some(Timer::Converge));
        // A write that failed is not repeated without a pause, though the deadline has passed.
        schedule.retry(now + 70 * MS);
        assert_eq!(schedule.take_due(now + 80 * MS), None);
    }

    #[test]
    fn maps_are_verified_whatever_else_happens() {
        let now = Instant::now();
        let mut schedule = served(now);
        let before = now + VERIFY - MS;
        schedule.hurry(before);
        let seen = play(&mut schedule, now, before);
        assert!(seen.contains(&(Timer::Converge, VERIFY - MS)), "{seen:?}");
        let seen = play(&mut schedule, now, now + VERIFY);
        assert_eq!(seen.iter().filter(|(timer, _)| *timer == Timer::Verify).count(), 1);
        let seen = play(&mut schedule, now, now + 2 * VERIFY);
        assert_eq!(seen.iter().filter(|(timer, _)| *timer == Timer::Verify).count(), 1);
    }
}
