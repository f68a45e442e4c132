//! Clocks that are set, daemons and hosts that are started again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::*;
use crate::{
    access::{Caller, Rights},
    config,
    daemon::parts::acceptance,
    host::HostFacts,
    model::Model,
    state::{
        MemoryStore, State, Store as _,
        connection::{Acceptance, Author, Decision, rules_of},
    },
};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// By how much the wall clock is set, in seconds.
const STEPS: [i64; 4] = [HOUR, -HOUR, 10 * YEAR, -10 * YEAR];
/// A wall clock that can be set back by ten years, in seconds.
const BEGIN: i64 = 56 * YEAR;

/// Clocks that are set by hand. Clones are the same host.
#[derive(Clone, Debug)]
struct Fake(Arc<Mutex<(i64, u64, u32)>>);

impl Fake {
    /// A host that was booted so long ago, in seconds.
    fn up_for(seconds: u64) -> Self {
        Self(Arc::new(Mutex::new((BEGIN, seconds, 1))))
    }

    fn pass(&self, seconds: u64) {
        let mut inner = self.0.lock().unwrap();
        inner.0 += seconds.cast_signed();
        inner.1 += seconds;
    }

    fn set(&self, by: i64) {
        self.0.lock().unwrap().0 += by;
    }

    /// The host is off for a while, and boots.
    fn boot(&self, off: i64) {
        let mut inner = self.0.lock().unwrap();
        *inner = (inner.0 + off, 0, inner.2 + 1);
    }
}

impl HostClocks for Fake {
    fn wall(&self) -> Timestamp {
        at(self.0.lock().unwrap().0)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.0.lock().unwrap().1)
    }

    fn boot(&self) -> String {
        self.0.lock().unwrap().2.to_string()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.unsigned_abs() * 1_000)
}

fn open(host: &Fake, directory: &tempfile::TempDir) -> Clock {
    Clock::of(Box::new(host.clone()), directory.path())
}

#[test]
fn time_passes_as_before_when_the_clock_is_set_and_the_daemon_started_again() {
    for step in STEPS {
        let (host, directory) = (Fake::up_for(1_000), tempfile::tempdir().unwrap());
        let mut clock = open(&host, &directory);
        assert_eq!(clock.moment().now, at(BEGIN), "at first it is that of the wall");
        host.pass(60);
        host.set(step);
        clock.follow();
        let Moment { now, ahead } = clock.moment();
        assert_eq!((now, ahead.shown(now)), (at(BEGIN + 60), host.wall()), "{step}");
        drop(clock);
        host.pass(60);
        assert_eq!(open(&host, &directory).moment().now, at(BEGIN + 120), "{step}");
    }
}

#[test]
fn after_a_boot_the_wall_clock_counts_until_it_has_been_set() {
    let (host, directory) = (Fake::up_for(1_000), tempfile::tempdir().unwrap());
    drop(open(&host, &directory));
    host.set(HOUR);
    host.boot(300);
    let mut clock = open(&host, &directory);
    assert_eq!(clock.moment().now, at(BEGIN + HOUR + 300));
    // The host finds its time server.
    host.pass(30);
    host.set(-HOUR);
    clock.follow();
    assert_eq!(clock.moment().now, at(BEGIN + 330));
    host.pass(SETTLING.as_secs());
    clock.follow();
    host.set(10 * YEAR);
    for mut clock in [clock, open(&host, &directory)] {
        clock.follow();
        assert_eq!(clock.moment().now, at(BEGIN + 930));
    }
}

#[test]
fn without_its_file_time_passes_until_the_daemon_is_started_again() {
    let (host, directory) = (Fake::up_for(1_000), tempfile::tempdir().unwrap());
    let missing = directory.path().join("missing");
    let open = |path: &Path| Clock::of(Box::new(host.clone()), path);
    let mut clock = open(&missing);
    host.set(HOUR);
    clock.follow();
    assert_eq!(clock.moment().now, at(BEGIN));
    assert_eq!(open(&missing).moment().now, at(BEGIN + HOUR));
    // It is written as soon as that is possible.
    fs::create_dir(&missing).unwrap();
    clock.follow();
    assert_eq!(open(&missing).moment().now, at(BEGIN));
    fs::write(missing.join(FILE), "{\"boot\":\"1\"").unwrap();
    assert_eq!(open(&missing).moment().now, at(BEGIN + HOUR), "a damaged file is none");
}

#[test]
fn the_kernel_has_both_clocks_and_a_boot() {
    let before = Kernel.since_boot();
    assert!(before > Duration::ZERO && Kernel.since_boot() >= before);
    assert!(Kernel.wall().seconds() > 0 && Kernel.boot().len() == 36);
}

fn manual() -> Model {
    let rules = "acceptance = \"manual\"\nallow = [\"acme\"]\nrequest_expiry = \"2h\"";
    let text = include_str!("../../desired/tests.toml").replacen("# rules", rules, 1);
    config::from_text("t.toml", &text).unwrap().model
}

/// What became of the connection of an endpoint, and when it ends by the wall clock.
fn state(store: &MemoryStore, model: &Model, moment: Moment) -> (Acceptance, Option<Timestamp>) {
    let connection = &store.state().connections["acme-web"];
    let (_, rules) = rules_of(model, &model.endpoints()["acme-web"]).unwrap();
    let end = connection.standing.end(&rules).map(|end| moment.ahead.shown(end));
    (connection.standing.acceptance(), end)
}

#[test]
fn a_grant_and_a_request_last_as_long_as_they_were_given() {
    let caller = Caller { author: Author::Rule, rights: Rights::Of(BTreeSet::new()) };
    let vendor = Rights::Of(["vendor".parse().unwrap()].into());
    let caller = Caller { rights: vendor, ..caller };
    for (step, decided) in STEPS.into_iter().flat_map(|step| [(step, true), (step, false)]) {
        let (host, directory) = (Fake::up_for(1_000), tempfile::tempdir().unwrap());
        let (mut clock, model) = (open(&host, &directory), manual());
        let (mut store, mut first) = (MemoryStore::default(), State::default());
        let inputs = first.inputs.clone();
        first.follow(&model, &HostFacts::default(), &inputs, clock.moment().now).unwrap();
        store.commit(store.state().changes_to(&first)).unwrap();
        let (period, lasting) = if decided {
            let hour = Some(Duration::from_secs(HOUR.unsigned_abs()));
            let what = (Decision::Accept { period: hour }, String::new());
            acceptance::decide(&model, &mut store, &caller, "acme-web", what, clock.moment())
                .unwrap();
            (HOUR, Acceptance::Available)
        } else {
            (2 * HOUR, Acceptance::Pending)
        };
        host.pass(60);
        host.set(step);
        // Half of the time without a daemon.
        drop(clock);
        host.pass(period.unsigned_abs() - 61);
        clock = open(&host, &directory);
        assert_eq!(acceptance::settle(&model, &mut store, clock.moment()).unwrap(), []);
        let end = host.wall().after(Duration::from_secs(1));
        assert_eq!(state(&store, &model, clock.moment()), (lasting, Some(end)), "{step}");
        let moment = clock.moment();
        let left = acceptance::deadline(&model, store.state(), moment.now).unwrap();
        assert_eq!(left.since(moment.now), Duration::from_secs(1), "{step}");
        host.pass(1);
        let events = acceptance::settle(&model, &mut store, clock.moment()).unwrap();
        assert_eq!(events.len(), 1, "{step}");
        assert_eq!(state(&store, &model, clock.moment()).0, Acceptance::Expired, "{step}");
    }
}
