//! Many flows that are cut at once: the daemon goes on answering, and tells of each end.

use std::{
    env, fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use privatelink_tests::{
    lab::{client, wait_until},
    pinned,
};

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at};

/// The variable that says how many flows are cut: a million, with a daemon that was optimised.
const FLOWS: &str = "PRIVATELINK_CUT_FLOWS";
const FEW: u32 = 50_000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn many_flows_are_cut_while_requests_are_answered_and_each_end_is_logged() {
    let count = env::var(FLOWS).map_or(FEW, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("flows.log");
    let more = format!(
        "max_flows = {}\n[gateway.flow_log]\nto = \"{}\"\nrefusals = false\ninterval = \"1d\"\n\
         rotate_size = 10_000_000_000\n",
        count + count / 4 + 4_096,
        log.display()
    );
    let config = CONFIG.replacen("max_flows = 4096\n", &more, 1);
    let mut scene = Scene::with(&config).unwrap();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 1_000, 1).unwrap();
    scene.daemon.terminate();
    pinned::multiply(scene.daemon.pin_dir(), 7, count).unwrap();
    scene.daemon.run().unwrap();
    let active = || scene.daemon.status().unwrap()["flows"]["active"].as_u64().unwrap();
    assert_eq!(active(), u64::from(count) + 1);

    let ended = AtomicBool::new(false);
    let (longest, answers, took) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut longest, mut answers) = (Duration::ZERO, 0);
            while !ended.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let (code, _) = scene.daemon.request("GET", "/v1/status", None).unwrap();
                assert_eq!(code, 200);
                longest = longest.max(begin.elapsed());
                answers += 1;
            }
            (longest, answers)
        });
        let begin = Instant::now();
        let config = config.replacen("allow = [\"acme\", \"globex\"]", "allow = [\"globex\"]", 1);
        scene.daemon.write_config(&config).unwrap();
        scene.daemon.ask(&["reload", "--json"]).unwrap();
        let reload = begin.elapsed();
        let limit = SOON * 6 + Duration::from_micros(500) * count;
        let done = wait_until(limit, "all flows have ended", || active() == 0);
        ended.store(true, Ordering::Relaxed);
        let (longest, answers) = asking.join().unwrap();
        done.unwrap();
        (longest.max(reload), answers, begin.elapsed())
    });
    println!(
        "{count} flows ended in {took:?}; of {answers} answers the last came after {longest:?}"
    );
    assert!(longest < PATIENCE, "an answer took {longest:?}");
    let written = || scene.daemon.status().unwrap()["flow_log"].clone();
    let all = u64::from(count) + 1;
    wait_until(SOON * 6, "each end is logged", || written()["written"] == all)
        .unwrap_or_else(|error| panic!("{error}: {}", written()));
    assert_eq!(written()["lost"], 0);
    let lines = fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(lines as u64, all);
}
