//! What health checks of many targets cost.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{env, fs, thread, time::Duration};

use privatelink_tests::lab::{Daemon, Provider, wait_until};

use crate::fixture::{lay, many_services};

/// One target each, checked every ten seconds, as is the default.
const SERVICES: u32 = 2_000;
/// How long is looked: three rounds of checks.
const LOOK: Duration = Duration::from_secs(30);
/// A build without optimizations takes several times as long as the goal of 5 % of a core; what
/// this catches is work for each check that grows with the number of targets.
const SHARE: f64 = 0.5;
/// On a busy machine.
const CHECKED: Duration = Duration::from_secs(60);

/// What is asked: a page, or what `HEALTH_CHECK` says, such as `protocol = "tcp"`.
fn config() -> String {
    let check = env::var("HEALTH_CHECK");
    let check = check.unwrap_or_else(|_| "protocol = \"http\", path = \"/\"".to_owned());
    let keys = format!(
        "listener = [{{ protocol = \"tcp\", port = 80, target_port = 8080 }}]\n\
         health_check = {{ {check} }}"
    );
    many_services("", SERVICES, &keys)
}

/// The time that a process has had a CPU, in seconds.
fn cpu_time(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |index| fields.split_whitespace().nth(index).unwrap().parse::<f64>().unwrap();
    // The kernel tells them in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn two_thousand_targets_are_checked_at_little_cost() {
    let lab = lay().unwrap();
    let provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    wait_until(CHECKED, "all targets are healthy", || {
        let targets = daemon.ask(&["targets", "--json"]).unwrap();
        let all = targets.as_array().map(Vec::as_slice).unwrap_or_default();
        let healthy = all.iter().filter(|target| target["health"] == "healthy");
        healthy.count() == SERVICES as usize
    })
    .unwrap();
    let (checks, before) = (provider.seen().len(), cpu_time(daemon.id().unwrap()));
    // A share of time is what is measured, so there is nothing else to wait for.
    thread::sleep(LOOK);
    let share = (cpu_time(daemon.id().unwrap()) - before) / LOOK.as_secs_f64();
    let checks = provider.seen().len() - checks;
    println!("{checks} checks in {LOOK:?} took {:.1} % of one core", share * 100.0);
    let expected = SERVICES as usize * 3;
    assert!(checks > expected * 9 / 10 && checks < expected * 5 / 4, "{checks} of {expected}");
    assert!(share < SHARE, "{share}");
}
