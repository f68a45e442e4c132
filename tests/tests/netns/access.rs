//! What unprivileged users of the host may see and do on the control socket.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    os::unix::{net::UnixStream, process::CommandExt as _},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::User;
use privatelink_tests::lab::{Daemon, Process, tool, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, lay};

/// Users that every Debian has, and that cannot log in.
const VENDOR: &str = "games";
const OTHER_VENDOR: &str = "news";
const ACME: &str = "mail";
const STRANGER: &str = "nobody";

/// A second provider with its own service, and a user for each principal.
fn config() -> String {
    let interface = "interface = \"veth-vendor\"\n";
    let publishers = format!("{interface}publishers = [\"other-vendor\"]\n");
    let other = CONFIG
        .replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1)
        .replacen(interface, &publishers, 1)
        + r#"
[[service]]
name = "mail"
principal = "other-vendor"
network = "vendor"
allow = ["globex"]
source_addresses = ["10.0.0.200/30"]
[[service.listener]]
protocol = "tcp"
port = 25
[[service.target]]
address = "10.0.0.10"
[[endpoint]]
name = "globex-mail"
service = "mail"
network = "globex"
addresses = ["10.1.0.51"]
"#;
    let principal =
        |name: &str, members: &str| format!("[[principal]]\nname = \"{name}\"\n{members}\n");
    other
        + &principal("vendor", &format!("users = [\"{VENDOR}\"]"))
        // The group of the same name, and of that user.
        + &principal("other-vendor", &format!("groups = [\"{OTHER_VENDOR}\"]"))
        + &principal("acme", &format!("users = [\"{ACME}\"]"))
}

/// Exit code, and what was printed on either stream.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

fn run(daemon: &Daemon, user: &str, words: &[&str]) -> (Option<i32>, String) {
    outcome(daemon.cli_as(user).unwrap().args(words))
}

/// The names in a list that a user gets.
fn names(daemon: &Daemon, user: &str, list: &str, key: &str) -> Vec<String> {
    let mut command = daemon.cli_as(user).unwrap();
    let text = tool::run(command.args([list, "--json"])).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let names = list.as_array().unwrap().iter();
    names.map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_user_sees_and_decides_its_own() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();

    for (user, connections, endpoints, services) in [
        (VENDOR, vec!["acme-web", "globex-web"], vec![], vec!["web"]),
        (OTHER_VENDOR, vec!["globex-mail"], vec![], vec!["mail"]),
        (ACME, vec!["acme-web"], vec!["acme-web"], vec![]),
    ] {
        assert_eq!(names(&daemon, user, "connections", "endpoint"), connections, "{user}");
        assert_eq!(names(&daemon, user, "endpoints", "name"), endpoints, "{user}");
        assert_eq!(names(&daemon, user, "services", "name"), services, "{user}");
        let (code, status) = run(&daemon, user, &["status", "--json"]);
        assert_eq!(code, Some(0), "{status}");
        for hidden in ["acme-web", "globex-web", "globex-mail"] {
            let shown = status.contains(&format!("\"{hidden}\""));
            // Those that wait for a decision are shown to both sides.
            let seen = endpoints.contains(&hidden) || connections.contains(&hidden);
            assert_eq!(shown, seen, "{user} and {hidden}: {status}");
        }
    }

    // Another provider's connection reads as unknown, also for suggestions.
    for words in [
        ["connections", "globex-mail"],
        ["accept", "globex-mail"],
        ["reject", "globex-mail"],
        ["accept", "globex-mial"],
    ] {
        let (code, said) = run(&daemon, VENDOR, &words);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("there is no endpoint"), "{said}");
        assert!(!said.contains("`globex-mail`?"), "{said}");
    }
    let (code, said) = run(&daemon, ACME, &["accept", "acme-web"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("only the provider `vendor` may"), "{said}");
    let state = |endpoint: &str| {
        let connection = daemon.ask(&["connections", endpoint, "--json"]).unwrap();
        connection["state"].as_str().unwrap().to_owned()
    };
    for endpoint in ["acme-web", "globex-mail"] {
        assert_eq!(state(endpoint), "pending-acceptance", "{endpoint}");
    }

    let (code, said) = run(&daemon, VENDOR, &["accept", "acme-web", "--for", "7d"]);
    assert_eq!(code, Some(0), "{said}");
    let decided = daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    assert_eq!((&decided["state"], &decided["by"]), (&"available".into(), &VENDOR.into()));
    let (code, said) = run(&daemon, OTHER_VENDOR, &["reject", "globex-mail"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state("globex-mail"), "rejected");

    // Commands that concern everyone are for administrators.
    for user in [VENDOR, ACME] {
        for words in [&["reload"][..], &["plan"], &["flows"], &["down"]] {
            let (code, said) = run(&daemon, user, words);
            assert_eq!(code, Some(1), "{user} {words:?}: {said}");
            assert!(said.contains("only root and members"), "{user} {words:?}: {said}");
        }
    }
}

#[test]
fn strangers_are_refused_everywhere() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    for words in [&["status"][..], &["connections"], &["endpoints"], &["accept", "acme-web"]] {
        let (code, said) = run(&daemon, STRANGER, words);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nobody has no rights on this gateway"), "{said}");
    }
    let document = daemon.request("GET", "/v1/openapi.json", None).unwrap();
    let (_, document) = document;
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{endpoint}", "acme-web").replace("{name}", "acme");
            let method = method.to_uppercase();
            let (code, answer) = daemon.request(&method, &path, Some(STRANGER)).unwrap();
            assert_eq!(code, 403, "{method} {path}: {answer}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} operations");
    assert_eq!(daemon.status().unwrap()["ready"], true, "nothing was done");
}

/// The daemon closes a silent connection after ten seconds. An administrator who is answered sooner
/// did not wait for a stranger's connection to time out.
const PROMPT: Duration = Duration::from_secs(6);

/// The environment variable that names the socket to the process that holds connections to it.
const HOLDER: &str = "PRIVATELINK_TEST_HOLDER";

/// Run as a stranger by the test below: opens connections and sends nothing until it is killed.
#[test]
fn holder() {
    let Some(socket) = std::env::var_os(HOLDER) else { return };
    // More than the daemon serves at a time, and fewer than the backlog holds.
    let held: std::io::Result<Vec<_>> = (0..150).map(|_| UnixStream::connect(&socket)).collect();
    let held = held.unwrap();
    println!("holding");
    // Until it is killed; the daemon closes silent connections only after some time.
    while !held.is_empty() {
        thread::park();
    }
}

#[test]
fn strangers_cannot_keep_root_out() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &config()).unwrap();
    daemon.open_to_all().unwrap();
    let stranger = User::from_name(STRANGER).unwrap().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder.args(["--exact", "access::holder", "--nocapture"]);
    holder.env(HOLDER, daemon.socket()).uid(stranger.uid.as_raw()).current_dir("/");
    let holder = Process::spawn("holder of connections", holder).unwrap();
    wait_until(SOON, "all connections are held", || holder.output().contains("holding")).unwrap();
    let begin = Instant::now();
    for _ in 0..5 {
        daemon.status().unwrap();
    }
    assert!(begin.elapsed() < PROMPT, "five answers took {:?}", begin.elapsed());
}

#[test]
fn without_users_in_the_configuration_only_administrators_can_connect() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    daemon.open_to_all().unwrap();
    let (code, said) = run(&daemon, VENDOR, &["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("you must be root or in the socket's group"), "{said}");
    // One reload opens the socket to all users, another closes it.
    for (config, code) in [(config(), Some(0)), (CONFIG.to_owned(), Some(1))] {
        daemon.write_config(&config).unwrap();
        daemon.ask(&["reload", "--json"]).unwrap();
        assert_eq!(run(&daemon, VENDOR, &["status"]).0, code);
    }
}

#[test]
fn members_of_the_group_administer() {
    let lab = lay().unwrap();
    let grouped =
        CONFIG.replacen("[gateway]\n", &format!("[gateway]\ngroup = \"{OTHER_VENDOR}\"\n"), 1);
    let daemon = Daemon::start(lab.gateway(), &grouped).unwrap();
    daemon.open_to_all().unwrap();
    let (code, said) = run(&daemon, OTHER_VENDOR, &["reject", "acme-web"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(run(&daemon, VENDOR, &["status"]).0, Some(1));
}
