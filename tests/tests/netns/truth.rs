//! What the gateway says of itself is never more than is so.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Daemon, client, tool, wait_until};

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at, lay, reload, without_target};

/// Exit code, and what was printed on either stream.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

/// The second line of the status.
fn headline(daemon: &Daemon) -> String {
    let text = tool::run(daemon.cli().arg("status")).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_refused_reload_is_a_problem_until_a_good_one() {
    let scene = Scene::start().unwrap();
    assert_eq!(headline(&scene.daemon), "no problems");
    scene.daemon.write_config(&CONFIG.replace("service = \"web\"", "service = \"wbe\"")).unwrap();
    let (code, said) = outcome(scene.daemon.cli().arg("reload"));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(headline(&scene.daemon), "1 problem");
    let problems = scene.daemon.status().unwrap()["problems"].to_string();
    assert!(problems.contains("the configuration on disk was refused at "), "{problems}");
    assert!(problems.contains("did you mean `web`?"), "{problems}");
    reload(&scene.daemon, CONFIG).unwrap();
    assert_eq!(headline(&scene.daemon), "no problems");
}

#[test]
fn an_address_of_the_host_is_not_taken_from_it_silently() {
    let scene = Scene::start().unwrap();
    let own = CONFIG.replace("\"10.1.0.50\"", "\"10.1.0.1\"");
    scene.daemon.write_config(&own).unwrap();
    let (code, said) = outcome(scene.daemon.cli().arg("reload"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("would take 10.1.0.1 from this host"), "{said}");
    let (code, said) = outcome(scene.daemon.cli().arg("check").arg(scene.daemon.config()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("would take 10.1.0.1 from this host"), "{said}");
    let elsewhere = ["check", "--no-host"];
    let (code, said) = outcome(scene.daemon.cli().args(elsewhere).arg(scene.daemon.config()));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_plan_warns_of_an_interface_that_is_missing_and_of_the_flows_that_end() {
    let scene = Scene::start().unwrap();
    let talk = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&talk, 1_000, 1).unwrap();
    let moved = CONFIG.replace("interface = \"veth-acme\"", "interface = \"veth-amce\"");
    scene.daemon.write_config(&moved).unwrap();
    let (code, said) = outcome(scene.daemon.cli().arg("plan"));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(": the network `acme`: this host has no interface `veth-amce`"),
        "{said}"
    );
    assert!(said.contains("1 live flow ends, because `veth-amce` does not exist"), "{said}");
    let (code, said) = outcome(scene.daemon.cli().args(["reload", "--deny-warnings"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was applied, because of --deny-warnings"), "{said}");
    client::tcp_exchange(&talk, 1_000, 1).unwrap();
    let (code, said) = outcome(scene.daemon.cli().args(["plan", "--deny-warnings"]));
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_dead_target_is_unreachable_and_does_not_hold_up_the_start() {
    let lab = lay().unwrap();
    let dead = without_target(&CONFIG.replace("\"10.0.0.10\"", "\"10.0.0.99\""), "fd00::10");
    let begin = Instant::now();
    let daemon = Daemon::start(lab.gateway(), &dead).unwrap();
    // The kernel verifies the programs first, which takes long on a busy machine.
    let uptime = daemon.status().unwrap()["uptime_seconds"].as_u64().unwrap();
    assert!(uptime < 5, "ready after {:?}", begin.elapsed());
    let targets = daemon.ask(&["targets", "--json"]).unwrap();
    assert_eq!(targets[0]["health"], "unreachable", "{targets}");
    assert_eq!(targets[0]["reason"], "no answer from its next hop 10.0.0.99", "{targets}");
    assert!(
        headline(&daemon).contains("1 service with unhealthy targets"),
        "{}",
        headline(&daemon)
    );
    let output = daemon.output();
    assert!(output.contains("waits for the next hop 10.0.0.99 to answer"), "{output}");
    assert!(output.contains("ready, without the next hop 10.0.0.99 to answer"), "{output}");
}

#[test]
fn an_endpoint_that_no_client_gets_through_is_a_problem_with_its_name() {
    let lab = lay().unwrap();
    let dead = without_target(&CONFIG.replace("\"10.0.0.10\"", "\"10.0.0.99\""), "fd00::10");
    let daemon = Daemon::start(lab.gateway(), &dead).unwrap();
    let problem = "endpoint acme-web: no client has got through in the last ";
    let mut last = String::new();
    wait_until(SOON * 3, "the endpoint is named", || {
        let knock = || client::connect(at(ENDPOINT[0], 7), Duration::from_millis(100));
        drop(lab.host("acme").run(knock));
        last = daemon.status().map(|status| status["problems"].to_string()).unwrap_or_default();
        last.contains(problem)
    })
    .unwrap_or_else(|error| panic!("{error}: {last}"));
    assert!(last.contains("as no_neighbour; "), "{last}");
    let line = headline(&daemon);
    assert!(line.contains("no_neighbour") && line.contains("packets refused"), "{line}");
}

#[test]
fn down_names_what_it_ended_and_is_no_success_where_nothing_is() {
    let scene = Scene::start().unwrap();
    let talk = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&talk, 1_000, 1).unwrap();
    // Another gateway's socket, of which nothing is known: its pins are not taken for these.
    let mut other = scene.lab.gateway().command(scene.daemon.binary());
    let (code, said) = outcome(other.args(["--socket", "/run/no-such.sock", "down"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("name the directory with --pin-dir"), "{said}");
    assert!(said.contains(&scene.daemon.pin_dir().display().to_string()), "{said}");
    client::tcp_exchange(&talk, 1_000, 1).unwrap();

    let (code, said) = outcome(scene.daemon.cli().arg("down"));
    assert_eq!(code, Some(0), "{said}");
    let detached = "forwarding has stopped: detached from veth-acme, ";
    assert!(said.starts_with(detached) && said.contains("; 1 flow ended; "), "{said}");
    let (code, said) = outcome(scene.daemon.cli().arg("down"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing is pinned at "), "{said}");
    let plain = tempfile::tempdir().unwrap();
    let (code, said) = outcome(scene.daemon.cli().args(["down", "--pin-dir"]).arg(plain.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not on a BPF file system"), "{said}");
}

#[test]
fn without_a_daemon_every_command_says_what_packets_do() {
    let mut scene = Scene::start().unwrap();
    scene.daemon.kill();
    for words in [&["status"][..], &["endpoints"], &["accept", "acme-web"], &["reload"]] {
        let (code, said) = outcome(scene.daemon.cli().args(words));
        assert_eq!(code, Some(3), "{said}");
        let forwarded = "packets are forwarded as before on veth-acme, ";
        assert!(said.contains(forwarded) && said.contains("not followed meanwhile: "), "{said}");
    }
    let (code, said) = outcome(scene.daemon.cli().arg("down"));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = outcome(scene.daemon.cli().arg("status"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("nothing is forwarded: nothing is pinned at "), "{said}");
}
