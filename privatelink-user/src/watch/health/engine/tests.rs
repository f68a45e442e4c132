//! The engine against targets on the loopback interface.

use std::{net::SocketAddr, sync::Mutex};

use tokio::{net::TcpListener, time::timeout};

use super::*;
use crate::{config, model::HealthCheck, watch::health::check::Obstacle};

/// On a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn how(keys: &str) -> HealthCheck {
    let text = include_str!("../../../desired/tests.toml");
    let table = format!("health_check = {{ protocol = \"tcp\", port = 9, {keys} }}");
    let text = text.replacen("# rules", &table, 1);
    let model = config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    model.model.services()["web"].health_check.clone().unwrap()
}

fn key(at: SocketAddr) -> TargetKey {
    TargetKey { service: "web".parse().unwrap(), address: at.ip(), port: at.port() }
}

fn one(at: SocketAddr, keys: &str) -> BTreeMap<TargetKey, Check> {
    let interface = "lo".parse().unwrap();
    [(key(at), Check { at, interface, how: how(keys), obstacle: None })].into()
}

async fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

async fn next(reports: &mut HealthReports) -> (Health, String) {
    let report = timeout(SOON, reports.next()).await.unwrap().unwrap();
    (report.condition.health, report.condition.reason)
}

/// Waits until a report says this.
async fn wait_for(reports: &mut HealthReports, health: Health, reason: &str) {
    loop {
        let (found, said) = next(reports).await;
        if found == health && said.contains(reason) {
            return;
        }
    }
}

/// Each check begins a little early rather than late, and those of many targets begin together.
#[test]
fn checks_begin_together_and_never_late() {
    let started = Instant::now();
    let mut begins = BTreeSet::new();
    for micros in (0..10_000_000).step_by(2_503) {
        let when = started + Duration::from_micros(micros);
        let begin = together(started, when, Duration::from_secs(10));
        assert!(begin <= when && when < begin + TOGETHER);
        begins.insert(begin);
        let soon = together(started, when, Duration::from_millis(100));
        assert!(soon <= when && when < soon + Duration::from_millis(1));
    }
    assert_eq!(begins.len(), 200);
}

const QUICK: &str = "interval = \"100ms\", timeout = \"90ms\"";
const SLOW: &str = "interval = \"1h\", timeout = \"10s\"";

#[tokio::test]
async fn a_target_that_returns_becomes_healthy_again() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (listener, at) = target().await;
    checks.follow(one(at, QUICK));
    assert_eq!(next(&mut reports).await.0, Health::Initial);
    wait_for(&mut reports, Health::Healthy, "connected").await;
    drop(listener);
    wait_for(&mut reports, Health::Healthy, "1 of 2 checks failed: connection refused").await;
    wait_for(&mut reports, Health::Unhealthy, "connection refused").await;
    let _listener = TcpListener::bind(at).await.unwrap();
    wait_for(&mut reports, Health::Unhealthy, "passes again, 1 of 2").await;
    wait_for(&mut reports, Health::Healthy, "connected").await;
}

/// Where the next check panics.
static DEFECT: Mutex<Option<SocketAddr>> = Mutex::new(None);

/// Panics if a test has asked for it.
pub(super) fn panic_once(at: SocketAddr) {
    let asked = DEFECT.lock().unwrap().take_if(|asked| *asked == at);
    assert!(asked.is_none(), "a defect");
}

#[tokio::test]
async fn a_check_that_panics_says_nothing_and_is_done_again() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (listener, at) = target().await;
    checks.follow(one(at, QUICK));
    wait_for(&mut reports, Health::Healthy, "connected").await;
    *DEFECT.lock().unwrap() = Some(at);
    while DEFECT.lock().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert!(reports.waiting().is_none());
    drop(listener);
    wait_for(&mut reports, Health::Unhealthy, "connection refused").await;
}

#[tokio::test]
async fn a_suspected_target_is_checked_at_once_and_once_only() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (listener, at) = target().await;
    checks.follow(one(at, SLOW));
    wait_for(&mut reports, Health::Healthy, "connected").await;
    drop(listener);
    checks.suspect(key(at));
    assert_eq!(next(&mut reports).await, (Health::Unhealthy, "connection refused".into()));
}

#[tokio::test]
async fn an_obstacle_leaves_the_health_as_it_is() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (listener, at) = target().await;
    let mut wanted = one(at, QUICK);
    checks.follow(wanted.clone());
    wait_for(&mut reports, Health::Healthy, "connected").await;
    wanted
        .values_mut()
        .for_each(|check| check.obstacle = Some(Obstacle::Down("lo".parse().unwrap())));
    checks.follow(wanted.clone());
    wait_for(&mut reports, Health::Healthy, "not checked: lo is down").await;
    drop(listener);
    checks.suspect(key(at));
    wanted.values_mut().for_each(|check| check.obstacle = None);
    checks.follow(wanted);
    // No check ran in between.
    let (_, reason) = next(&mut reports).await;
    assert_eq!(reason, "not checked: lo is down");
    wait_for(&mut reports, Health::Unhealthy, "connection refused").await;
}

#[tokio::test]
async fn what_was_known_before_holds_until_checks_say_otherwise() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (listener, at) = target().await;
    drop(listener);
    let since = Timestamp::from_millis(7);
    let reason = "healthy before the restart".to_owned();
    let known = Condition { health: Health::Healthy, since, reason };
    checks.assume([(key(at), known.clone())].into());
    checks.follow(one(at, QUICK));
    let report = timeout(SOON, reports.next()).await.unwrap().unwrap();
    assert_eq!(report, HealthReport { key: key(at), condition: known });
    wait_for(&mut reports, Health::Unhealthy, "connection refused").await;
}

#[tokio::test]
async fn what_is_no_longer_wanted_is_not_checked() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (_listener, at) = target().await;
    checks.follow(one(at, QUICK));
    wait_for(&mut reports, Health::Healthy, "connected").await;
    checks.follow(BTreeMap::new());
    let (_other, at) = target().await;
    checks.follow(one(at, QUICK));
    let report = timeout(SOON, reports.next()).await.unwrap().unwrap();
    assert_eq!(report.key, key(at));
    drop(checks);
    while let Some(report) = timeout(SOON, reports.next()).await.unwrap() {
        assert_eq!(report.key, key(at));
    }
}

/// Hundreds of targets, none of which answers.
#[tokio::test]
async fn dead_targets_do_not_hold_up_living_ones() {
    let (checks, mut reports) = Checks::start().unwrap();
    let (_listener, alive) = target().await;
    let mut wanted = one(alive, SLOW);
    // Connections to this network (RFC 5737) go nowhere: the loopback has no route to it.
    for last in 0..200u8 {
        let at = SocketAddr::from(([192, 0, 2, last], 9));
        wanted.extend(one(at, SLOW));
    }
    checks.follow(wanted);
    loop {
        let report = timeout(SOON, reports.next()).await.unwrap().unwrap();
        if report.key == key(alive) && report.condition.health == Health::Healthy {
            break;
        }
    }
}
