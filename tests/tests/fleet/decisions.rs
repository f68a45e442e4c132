//! What is written or decided on one gateway, and what the other makes of it.

use std::time::{Duration, Instant};

use privatelink_tests::lab::wait_until;

use crate::{SOON, Scene, config, freeze};

/// How often decisions are measured.
const TIMES: usize = 40;

#[test]
fn an_object_made_on_one_gateway_is_decided_on_one_and_in_force_on_both() {
    let scene = Scene::start();
    let (a, b) = (&scene.a, &scene.b);
    assert_eq!(a.create("made"), 200);
    let address = a.address("made");
    assert_eq!(b.address("made"), address, "both give it the same address");
    assert!(scene.sites().all(|site| site.is_refused(address)), "nobody has accepted it");

    let (code, answer) = b.decide("made", "accept");
    assert_eq!((code, answer["unconfirmed"].is_null()), (200, true), "{answer}");
    // No wait: the command has returned.
    assert!(scene.sites().all(|site| site.is_served(address)), "it was accepted");
    assert_eq!(a.state("made"), "available");
    assert_eq!(a.decide("made", "reject").0, 200);
    assert!(scene.sites().all(|site| site.is_refused(address)), "it was rejected");
    assert_eq!(b.state("made"), "rejected");

    let mut times = Vec::new();
    for number in 0..TIMES {
        let begun = Instant::now();
        let decision = if number % 2 == 0 { "accept" } else { "reject" };
        let (code, answer) = a.decide("made", decision);
        times.push(begun.elapsed());
        assert_eq!((code, answer["unconfirmed"].is_null()), (200, true), "{answer}");
        let is_right = if number % 2 == 0 { b.is_served(address) } else { b.is_refused(address) };
        assert!(is_right, "{decision} {number}");
    }
    times.sort();
    println!("a decision in force on both: p50 {:?}, p99 {:?}", times[TIMES / 2], times[TIMES - 1]);

    let fleet = a.fleet();
    let revision = fleet["revision"].as_i64().unwrap();
    for gateway in fleet["gateways"].as_array().unwrap() {
        assert_eq!(gateway["applied"].as_i64(), Some(revision), "{fleet}");
        assert_eq!(gateway["same_configuration"], true, "{fleet}");
    }
    let (code, _) = b.daemon.request("DELETE", "/v1/endpoints/made", None).unwrap();
    assert_eq!(code, 200);
    wait_until(SOON, "it is gone on both", || {
        scene.sites().all(|site| site.daemon.ask(&["endpoints", "made", "--json"]).is_err())
    })
    .unwrap();
}

#[test]
fn writes_on_both_gateways_at_once_give_out_no_address_twice() {
    const EACH: usize = 30;
    let scene = Scene::start();
    std::thread::scope(|scope| {
        for site in scene.sites() {
            scope.spawn(move || {
                for number in 0..EACH {
                    assert_eq!(site.create(&format!("{}-{number}", site.name)), 200, "{number}");
                }
            });
        }
    });
    let endpoints = |site: &crate::Site| {
        let mut all: Vec<(String, String)> = site
            .daemon
            .ask(&["endpoints", "--json"])
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["addresses"].to_string(), one["name"].to_string()))
            .collect();
        all.sort();
        all
    };
    wait_until(SOON, "both have all", || endpoints(&scene.a) == endpoints(&scene.b)).unwrap();
    let all = endpoints(&scene.a);
    assert_eq!(all.len(), 2 * EACH + 1);
    assert!(all.windows(2).all(|pair| pair[0].0 != pair[1].0), "{all:?}");
}

#[test]
fn a_gateway_that_does_not_confirm_is_named() {
    let scene = Scene::start();
    let (a, b) = (&scene.a, &scene.b);
    freeze(&b.daemon, true);
    let begun = Instant::now();
    let (code, answer) = a.decide("acme-web", "accept");
    assert_eq!(code, 200);
    assert_eq!(answer["unconfirmed"], serde_json::json!(["gw-b"]), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    freeze(&b.daemon, false);
    wait_until(SOON, "it has caught up", || b.state("acme-web") == "available").unwrap();
    let confirmed = || a.decide("acme-web", "reject").1["unconfirmed"].is_null();
    wait_until(SOON, "it confirms again", confirmed).unwrap();
}

#[test]
fn files_that_differ_are_a_problem_and_forget_nothing_of_the_others() {
    let scene = Scene::start();
    let (a, b) = (&scene.a, &scene.b);
    assert_eq!(b.decide("acme-web", "accept").0, 200);
    let more = "[[endpoint]]\nname = \"more\"\nservice = \"web\"\nnetwork = \"acme\"\n\
                addresses = [\"10.1.0.60\"]\n";
    a.daemon.write_config(&config(&scene.files, a.name, more)).unwrap();
    assert!(a.daemon.cli().arg("reload").status().unwrap().success());
    assert_eq!(a.decide("more", "accept").0, 200);
    for (site, other) in [(a, b), (b, a)] {
        let problem = format!("something else than those of `{}`", other.name);
        wait_until(SOON, &problem, || site.problems().contains(&problem)).unwrap();
    }
    // B does not know the endpoint, and reloads: the decision about it stays.
    assert!(b.daemon.cli().arg("reload").status().unwrap().success());
    assert_eq!(a.state("more"), "available");
    b.daemon.write_config(&config(&scene.files, b.name, more)).unwrap();
    assert!(b.daemon.cli().arg("reload").status().unwrap().success());
    assert_eq!(b.state("more"), "available");
    wait_until(SOON, "both agree", || {
        scene.sites().all(|site| !site.problems().contains("something else"))
    })
    .unwrap();
}
