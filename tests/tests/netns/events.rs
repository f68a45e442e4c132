//! Events: which changes cause them, and who sees them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::unistd::User;
use privatelink_tests::lab::{Daemon, Process, daemon::find_binary, tool, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, lay};

/// Users that every Debian has, and that cannot log in.
const VENDOR: &str = "games";
const ACME: &str = "mail";

/// How long the daemon waits for clients to read their last answer when it ends.
const FAREWELL: Duration = Duration::from_secs(2);

fn config() -> String {
    CONFIG.replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1)
        + &format!("[[principal]]\nname = \"vendor\"\nusers = [\"{VENDOR}\"]\n")
        + &format!("[[principal]]\nname = \"acme\"\nusers = [\"{ACME}\"]\n")
}

/// The kinds of the events, each with its endpoint or interface.
fn kinds_of(events: &[Value]) -> Vec<(String, String)> {
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
    Ok(kinds_of(&serde_json::from_str::<Vec<Value>>(&text)?))
}

/// Follows the events, one object per line.
fn follower(daemon: &Daemon, command: Command) -> Result<Process> {
    let mut command = command;
    command.args(["events", "--follow", "--json", "--limit", "1"]);
    let follower = Process::spawn("privatelink events", command)?;
    wait_until(SOON, "the follower is there", || !follower.output().is_empty())?;
    ensure!(daemon.status()?["ready"] == true, "the daemon is busy with a follower");
    Ok(follower)
}

#[test]
fn changes_are_visible_to_the_principals_that_they_concern() {
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
    wait_until(SOON, "all events are listed", || {
        let all = events(&daemon, &[]).map(|all| kinds_of(&all)).unwrap_or_default();
        expected.iter().all(|one| all.contains(one))
    })
    .unwrap();
    wait_until(SOON, "the follower prints all events", || {
        expected.iter().all(|(kind, about)| {
            let of_kind = |line: &&str| line.contains(&format!("\"kind\":\"{kind}\""));
            own.output().lines().filter(of_kind).any(|line| line.contains(about))
        })
    })
    .unwrap();
    // A consumer sees its own connection and its own interface.
    let seen = seen_by(&daemon, ACME).unwrap();
    assert!(seen.contains(&expected[0]), "{seen:?}");
    let others = |(_, about): &&(String, String)| !["acme-web", "veth-acme"].contains(&&**about);
    assert_eq!(seen.iter().find(others), None, "{seen:?}");
    let seen = seen_by(&daemon, VENDOR).unwrap();
    assert!(seen.contains(&expected[0]) && seen.contains(&expected[1]), "{seen:?}");
    assert!(!seen.contains(&expected[2]) && !seen.contains(&expected[3]), "{seen:?}");
    let said = acme.output();
    assert!(said.contains("connection-available") && !said.contains("globex"), "{said}");

    // A killed daemon keeps its events, and the numbers continue.
    let before = events(&daemon, &[]).unwrap();
    daemon.kill();
    daemon.run().unwrap();
    let after = events(&daemon, &[]).unwrap();
    assert_eq!(after.get(..before.len()), Some(&*before));
    let last = before.last().unwrap()["number"].to_string();
    let later = kinds_of(&events(&daemon, &["--after", &last]).unwrap());
    assert_eq!(later.first().map(|one| one.0.as_str()), Some("gateway-started"));
    assert!(later.iter().any(|(kind, _)| kind == "gateway-ready"), "{later:?}");
    assert!(!later.iter().any(|(kind, _)| kind.starts_with("connection")), "{later:?}");
    let kinds = kinds_of(&events(&daemon, &["--kind", "gateway"]).unwrap());
    assert!(kinds.iter().all(|(kind, _)| kind.starts_with("gateway-")), "{kinds:?}");
}

#[test]
fn followers_are_few_and_hold_nothing_up() {
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    // Eight users other than administrators may follow.
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
    let begin = Instant::now();
    daemon.terminate();
    assert!(begin.elapsed() < FAREWELL, "the daemon took {:?} to end", begin.elapsed());
    let mut last = followers.pop().unwrap();
    wait_until(SOON, "the follower ends", || last.ended().is_some()).unwrap();
    let said = last.output();
    assert!(said.contains("the daemon has ended"), "{said}");
}

/// Reads the body of a request, and answers with 204.
fn received(mut stream: &TcpStream) -> Result<String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    Ok(String::from_utf8(body)?)
}

/// Puts a script where any user can run it.
fn script(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

fn with_subscribers(config: &str, hooks: &[String], more: &str) -> String {
    let keys = format!("[gateway]\non_event = {hooks:?}\nhook_user = \"{VENDOR}\"\n{more}\n");
    config.replacen("[gateway]\n", &keys, 1)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story: a hook's surroundings cost much to make")]
fn hooks_and_a_webhook_receive_events_and_may_decide() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let vendor = User::from_name(VENDOR).unwrap().unwrap();
    let report = folder.path().join("report");
    fs::create_dir(&report).unwrap();
    chown(&report, Some(vendor.uid.as_raw()), None).unwrap();
    let binary = find_binary().unwrap();
    let accept = include_str!("../../../examples/accept-hook.sh").replacen(
        "exec privatelink",
        &format!("exec {}", binary.display()),
        1,
    );
    let accept = script(folder.path(), "accept", &accept).unwrap();
    // A hook that reports its rights, fails, and leaves a process running.
    let reporter = format!(
        "#!/bin/sh\ncd {0}\ncat > event.$$\nenv > env.$$\ncat /proc/self/status > status.$$\n\
         ulimit -v > memory.$$\nid -u > uid.$$\nsleep 1000 &\necho $! > left.$$\n\
         echo 'not my day' >&2\nexit 3\n",
        report.display()
    );
    let reporter = script(folder.path(), "reporter", &reporter).unwrap();

    let lab = lay().unwrap();
    lab.gateway().ip("link set lo up").unwrap();
    let listener = lab.gateway().run(|| Ok(TcpListener::bind("127.0.0.1:0")?)).unwrap();
    let address = listener.local_addr().unwrap();
    let posts = thread::spawn(move || -> Result<Vec<String>> {
        let mut bodies: Vec<String> = Vec::new();
        while !bodies.iter().any(|body| body.contains("connection-available")) {
            bodies.push(received(&listener.accept()?.0)?);
        }
        Ok(bodies)
    });
    let more = format!("webhook = \"http://{address}/events\"");
    let config = with_subscribers(&config(), &[accept, reporter.clone()], &more);
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    daemon.open_to_all().unwrap();
    daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    daemon
        .write_config(&config.replacen("name = \"acme-web\"", "name = \"acme-shop\"", 1))
        .unwrap();
    daemon.ask(&["reload", "--json"]).unwrap();

    let state = || daemon.ask(&["connections", "acme-shop", "--json"]).unwrap();
    wait_until(SOON, "the hook accepts", || state()["state"] == "available").unwrap();
    assert_eq!(state()["reason"], "accepted by a hook");
    assert_eq!(state()["by"], VENDOR);
    let bodies = posts.join().unwrap().unwrap();
    let posted: Vec<Value> =
        bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let of_kind = |kind: &str| posted.iter().any(|event| event["kind"] == kind);
    assert!(of_kind("connection-requested") && of_kind("connection-available"), "{posted:?}");

    let failed = || {
        let status = daemon.status().unwrap();
        let all = status["subscribers"].as_array().cloned().unwrap_or_default();
        let one = all.iter().find(|one| one["name"] == reporter.as_str()).cloned();
        one.and_then(|one| one["failed"].as_u64()).unwrap_or_default()
    };
    wait_until(SOON, "the other hook fails", || failed() >= 2).unwrap();
    assert!(daemon.output().contains("not my day"), "{}", daemon.output());
    // A hook that has written its last file has written all of them.
    let names = fs::read_dir(&report).unwrap();
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let whole = |pid: &String| {
        fs::read_to_string(report.join(format!("left.{pid}")))
            .is_ok_and(|left| left.ends_with('\n'))
    };
    let mut pids = names.filter_map(|name| Some(name.strip_prefix("left.")?.to_owned()));
    let pid = pids.find(whole).unwrap();
    let found = |what: &str| fs::read_to_string(report.join(format!("{what}.{pid}")));
    let status = found("status").unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    assert_eq!(found("uid").unwrap().trim(), vendor.uid.to_string());
    assert_eq!(found("memory").unwrap().trim(), (512 * 1024).to_string());
    let env = found("env").unwrap();
    let keys: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
    let own = ["PATH", "PRIVATELINK_SOCKET", "LANG", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(keys.iter().all(|key| own.contains(key)), "{env}");
    assert!(serde_json::from_str::<Value>(&found("event").unwrap()).unwrap()["kind"].is_string());
    let left = found("left").unwrap();
    let left = Path::new("/proc").join(left.trim());
    wait_until(SOON, "the process that a hook left running ends", || !left.exists()).unwrap();
}

#[test]
fn a_hook_that_hangs_holds_nothing_up_and_ends_with_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let text = format!("#!/bin/sh\necho $$ > {}/pid\nexec sleep 1000\n", folder.path().display());
    let hang = script(folder.path(), "hang", &text).unwrap();
    let lab = lay().unwrap();
    let mut daemon =
        Daemon::start(lab.gateway(), &with_subscribers(&config(), &[hang], "")).unwrap();
    let pid = || fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
    wait_until(SOON, "the hook runs", || pid().ends_with('\n')).unwrap();
    for _ in 0..10 {
        daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
        daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    }
    let hook = Path::new("/proc").join(pid().trim());
    assert!(hook.exists());
    daemon.terminate();
    wait_until(SOON, "the hook ends with the daemon", || !hook.exists()).unwrap();
}
