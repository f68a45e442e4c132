//! What is told of changes, and to whom.

use std::process::Command;

use anyhow::{Result, ensure};
use privatelink_tests::lab::{Daemon, Process, tool, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, lay};

/// Users that every Debian has, and nobody logs in as.
const VENDOR: &str = "games";
const ACME: &str = "mail";

fn config() -> String {
    CONFIG.replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1)
        + &format!("[[principal]]\nname = \"vendor\"\nusers = [\"{VENDOR}\"]\n")
        + &format!("[[principal]]\nname = \"acme\"\nusers = [\"{ACME}\"]\n")
}

/// The kinds of the events, each with its endpoint or interface.
fn told(events: &[Value]) -> Vec<(String, String)> {
    let word = |event: &Value, key: &str| event[key].as_str().map(ToOwned::to_owned);
    let pair = |event: &Value| {
        let about = word(event, "endpoint").or(word(event, "interface"));
        (word(event, "kind").unwrap_or_default(), about.unwrap_or_default())
    };
    events.iter().map(pair).collect()
}

fn events(daemon: &Daemon, words: &[&str]) -> Result<Vec<Value>> {
    let all = daemon.ask(&[&["events", "--json", "--limit", "10000"], words].concat())?;
    Ok(all.as_array().cloned().unwrap_or_default())
}

fn seen_by(daemon: &Daemon, user: &str) -> Result<Vec<(String, String)>> {
    let mut command = daemon.cli_as(user)?;
    let text = tool::run(command.args(["events", "--json"]))?;
    Ok(told(&serde_json::from_str::<Vec<Value>>(&text)?))
}

/// Follows the events; what comes is printed one object a line.
fn follower(daemon: &Daemon, command: Command) -> Result<Process> {
    let mut command = command;
    command.args(["events", "--follow", "--json", "--limit", "1"]);
    let follower = Process::spawn("privatelink events", command)?;
    wait_until(SOON, "the follower is there", || !follower.output().is_empty())?;
    ensure!(daemon.status()?["ready"] == true, "the daemon is busy with a follower");
    Ok(follower)
}

#[test]
fn changes_are_told_to_those_whom_they_concern() {
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    let own = follower(&daemon, daemon.cli()).unwrap();
    let acme = follower(&daemon, daemon.cli_as(ACME).unwrap()).unwrap();

    tool::run(daemon.cli_as(VENDOR).unwrap().args(["accept", "acme-web"])).unwrap();
    tool::run(daemon.cli_as(VENDOR).unwrap().args(["reject", "globex-web"])).unwrap();
    lab.gateway().ip("link set veth-globex down").unwrap();
    daemon.write_config("[gateway]\nname = \"gw\"\nnonsense = 1").unwrap();
    assert!(daemon.ask(&["reload", "--json"]).is_err());
    daemon.write_config(&config()).unwrap();
    daemon.ask(&["reload", "--json"]).unwrap();

    let expected = [
        ("connection-available", "acme-web"),
        ("connection-rejected", "globex-web"),
        ("interface-down", "veth-globex"),
        ("configuration-refused", ""),
        ("configuration-applied", ""),
    ];
    let expected = expected.map(|(kind, about)| (kind.to_owned(), about.to_owned()));
    wait_until(SOON, "all is told", || {
        let all = events(&daemon, &[]).map(|all| told(&all)).unwrap_or_default();
        expected.iter().all(|one| all.contains(one))
    })
    .unwrap();
    wait_until(SOON, "the follower hears of all", || {
        expected.iter().all(|(kind, about)| {
            let of_kind = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\""));
            own.output().lines().filter(of_kind).any(|line| line.contains(about))
        })
    })
    .unwrap();
    // A consumer hears of its own connection and of its own interface.
    let seen = seen_by(&daemon, ACME).unwrap();
    assert!(seen.contains(&expected[0]), "{seen:?}");
    let others = |(_, about): &&(String, String)| !["acme-web", "veth-acme"].contains(&&**about);
    assert_eq!(seen.iter().find(others), None, "{seen:?}");
    let seen = seen_by(&daemon, VENDOR).unwrap();
    assert!(seen.contains(&expected[0]) && seen.contains(&expected[1]), "{seen:?}");
    assert!(!seen.contains(&expected[2]) && !seen.contains(&expected[3]), "{seen:?}");
    let said = acme.output();
    assert!(said.contains("connection-available") && !said.contains("globex"), "{said}");

    // Killed, the daemon still knows, and the numbers go on.
    let before = events(&daemon, &[]).unwrap();
    daemon.kill();
    daemon.run().unwrap();
    let after = events(&daemon, &[]).unwrap();
    assert_eq!(after.get(..before.len()), Some(&*before));
    let last = before.last().unwrap()["number"].to_string();
    let later = told(&events(&daemon, &["--after", &last]).unwrap());
    assert_eq!(later.first().map(|one| one.0.as_str()), Some("gateway-started"));
    assert!(later.iter().any(|(kind, _)| kind == "gateway-ready"), "{later:?}");
    assert!(!later.iter().any(|(kind, _)| kind.starts_with("connection")), "{later:?}");
    let kinds = told(&events(&daemon, &["--kind", "gateway"]).unwrap());
    assert!(kinds.iter().all(|(kind, _)| kind.starts_with("gateway-")), "{kinds:?}");
}

#[test]
fn followers_are_few_and_hold_nothing_up() {
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    // Of others than administrators, eight may follow.
    let mut followers = Vec::new();
    for _ in 0..8 {
        followers.push(follower(&daemon, daemon.cli_as(ACME).unwrap()).unwrap());
    }
    let mut one_more = daemon.cli_as(ACME).unwrap();
    let output = one_more.args(["events", "--follow"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("too many follow"), "{said}");
    followers.push(follower(&daemon, daemon.cli()).unwrap());
    followers.remove(0);
    wait_until(SOON, "there is room again", || {
        daemon.cli_as(ACME).is_ok_and(|one| follower(&daemon, one).is_ok())
    })
    .unwrap();
    // They end with the daemon, which does not wait for them.
    daemon.terminate();
    let mut last = followers.pop().unwrap();
    wait_until(SOON, "the follower ends", || last.ended().is_some()).unwrap();
    let said = last.output();
    assert!(said.contains("the daemon has ended"), "{said}");
    assert!(!daemon.output().contains("did not take its answer"), "{}", daemon.output());
}
