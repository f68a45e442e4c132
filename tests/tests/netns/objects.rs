//! Services and endpoints that tenants make over the socket: from the first word to packets, across
//! kills of the daemon, and back into a file.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Daemon, Provider, client, many, wait_until};
use privatelink_user::{
    cli::{
        self,
        client::{self as socket, Method},
    },
    interface::{
        path,
        types::{Keys, ObjectSet, Written},
    },
};
use serde_json::{Map, Value, json};

use crate::fixture::{CONFIG, SOON, at, lay};

/// Users that every Debian has, and that cannot log in.
const VENDOR: &str = "games";
const ACME: &str = "mail";
const GLOBEX: &str = "news";

/// The operator's file: networks, and who acts for their owners. No service, no endpoint.
fn operators() -> String {
    let (networks, _) = CONFIG.split_once("[[service]]").unwrap();
    let principal = |name: &str, user: &str| {
        format!("[[principal]]\nname = \"{name}\"\nusers = [\"{user}\"]\n")
    };
    networks.to_owned()
        + &principal("vendor", VENDOR)
        + &principal("acme", ACME)
        + &principal("globex", GLOBEX)
}

/// Exit code, and what was printed on either stream.
fn outcome(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&both).into_owned())
}

fn run(daemon: &Daemon, user: &str, words: &str) -> (i32, String) {
    outcome(daemon.cli_as(user).unwrap().args(words.split(' ')))
}

fn done(daemon: &Daemon, user: &str, words: &str) -> String {
    let (code, said) = run(daemon, user, words);
    assert_eq!(code, 0, "{user} {words}: {said}");
    said
}

const PUBLISH: &str = "create service web --network vendor --listen tcp/80:8080 \
                       --listen tcp/7:7777 --target 10.0.0.10 --source-addresses 10.0.0.240/29 \
                       --allow acme";

fn publish() -> String {
    PUBLISH.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first address of an endpoint.
fn address(daemon: &Daemon, endpoint: &str) -> String {
    let endpoint = daemon.ask(&["endpoints", endpoint, "--json"]).unwrap();
    endpoint["addresses"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_tenant_publishes_another_asks_and_the_page_is_there() {
    let lab = lay().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &operators()).unwrap();
    daemon.open_to_all().unwrap();
    let said = done(&daemon, VENDOR, &publish());
    assert!(said.starts_with("service web: added\n"), "{said}");
    // A service that is not offered reads as one that does not exist.
    let (code, said) = run(&daemon, GLOBEX, "create endpoint --service web --network globex");
    assert_eq!(code, 1, "{said}");
    let unknown = run(&daemon, GLOBEX, "create endpoint --service wob --network globex").1;
    assert!(said.contains("there is no service `web`"), "{said}");
    assert_eq!(said.replace("web", "wob"), unknown);

    let said = done(&daemon, ACME, "create endpoint --service web --network acme");
    assert!(said.contains("endpoint acme-web: added"), "{said}");
    assert!(said.contains("acme-web waits: `vendor` has to accept it"), "{said}");
    let mut waiting = daemon.cli_as(ACME).unwrap();
    waiting.args(["create", "endpoint", "second", "--service", "web", "--network", "acme"]);
    let waiting = waiting.arg("--wait").stdout(Stdio::piped()).spawn().unwrap();
    wait_until(SOON, "both wait", || {
        daemon.status().is_ok_and(|status| status["waiting"].as_array().unwrap().len() == 2)
    })
    .unwrap();
    done(&daemon, VENDOR, "accept acme-web");
    done(&daemon, VENDOR, "accept second");
    let waited = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&waited.stdout).into_owned();
    assert!(waited.status.success() && said.contains("available"), "{said}");

    let address = address(&daemon, "acme-web");
    let page = || lab.host("acme").run(|| client::http_get(at(&address, 80), SOON));
    page().unwrap();
    // Nothing of it is in a file, and all of it outlives the daemon.
    daemon.kill();
    daemon.run().unwrap();
    page().unwrap();
    let service = daemon.ask(&["services", "web", "--json"]).unwrap();
    assert_eq!(
        (&service["source"], &service["definition"]["name"]),
        (&"api".into(), &"web".into())
    );
    // A repeated write changes nothing, and the provider's targets are its own business.
    let (code, said) = run(&daemon, VENDOR, &publish());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the service `web` is not as the request expects"), "{said}");
    done(&daemon, VENDOR, "register web 10.0.0.11 --weight 5");
    assert_eq!(run(&daemon, ACME, "register web 10.0.0.12").0, 1);
    done(&daemon, VENDOR, "deregister web 10.0.0.11");
    let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
    assert!(targets.to_string().contains("draining"), "{targets}");
    let (code, said) = run(&daemon, VENDOR, "delete service web");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("`acme-web`") && said.contains("`second`"), "{said}");
    done(&daemon, ACME, "delete endpoint acme-web");
    done(&daemon, ACME, "delete endpoint second");
    done(&daemon, VENDOR, "delete service web");
    assert_eq!(daemon.ask(&["export", "--json"]).unwrap(), json!({}));
    let plan = daemon.ask(&["plan", "--json"]).unwrap();
    assert_eq!(plan["changes"], json!([]), "{plan}");
}

#[test]
fn what_is_exported_goes_into_a_file_and_no_flow_is_cut() {
    let lab = lay().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &operators()).unwrap();
    daemon.open_to_all().unwrap();
    done(&daemon, VENDOR, &(publish() + " --accept acme"));
    done(&daemon, ACME, "create endpoint --service web --network acme");
    let address = address(&daemon, "acme-web");
    let stream = lab.host("acme").run(|| client::connect(at(&address, 7), SOON)).unwrap();
    client::tcp_exchange(&stream, 1_000, 1).unwrap();
    let before = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();

    let (code, exported) = outcome(daemon.cli().arg("export"));
    assert_eq!(code, 0, "{exported}");
    daemon.write_config(&(operators() + &exported)).unwrap();
    // Both at once are one error, with both places.
    let (code, said) = outcome(daemon.cli().arg("reload"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is defined twice") && said.contains("api:service/web"), "{said}");
    let adopted = daemon.ask(&["reload", "--adopt", "--json"]).unwrap();
    assert_eq!((&adopted["changes"], &adopted["flows_cut"]), (&json!([]), &json!(0)), "{adopted}");
    client::tcp_exchange(&stream, 1_000, 2).unwrap();
    let after = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    assert_eq!(before["addresses"], after["addresses"]);
    assert_eq!((&before["source"], &before["state"]), (&"api".into(), &after["state"]));
    assert!(after["source"].as_str().unwrap().contains("privatelink.toml:"), "{after}");
    assert_eq!(daemon.ask(&["export", "--json"]).unwrap(), json!({}));
    // It is the file's now, and says so.
    let (code, said) = run(&daemon, VENDOR, "delete service web");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is declared in") && said.contains("privatelink.toml:"), "{said}");
}

#[test]
fn a_file_is_applied_whole_or_not_at_all() {
    let lab = lay().unwrap();
    let daemon = Daemon::start(lab.gateway(), &operators()).unwrap();
    let apply = |text: &str| {
        let mut command = daemon.cli();
        command.args(["apply", "-f", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.success(), answer)
    };
    let service = "[[service]]\nname = \"web\"\nnetwork = \"vendor\"\nallow = [\"acme\"]\n\
                   source_addresses = [\"10.0.0.240/29\"]\n[[service.listener]]\n\
                   protocol = \"tcp\"\nport = 80\n[[service.target]]\naddress = \"10.0.0.10\"\n";
    let endpoint = |extra: &str| {
        format!("[[endpoint]]\nname = \"e\"\nservice = \"web\"\nnetwork = \"acme\"\n{extra}\n")
    };
    let state = || fs::read(daemon.state_dir().join("state.journal")).unwrap();
    let before = state();
    let faulty = format!("{service}{}", endpoint("addresses = [\"10.9.0.1\"]\nwait = 3"));
    let (ok, answer) = apply(&faulty);
    assert!(!ok, "{answer}");
    let pointers: Vec<_> = answer["errors"].as_array().unwrap().iter().collect();
    let pointers: Vec<_> = pointers.iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/addresses/0", "/wait"], "{answer}");
    assert_eq!(state(), before);
    let (ok, answer) = apply(&format!("{service}{}", endpoint("")));
    assert!(ok && answer["objects"].as_array().unwrap().len() == 2, "{answer}");
    // What is as it should be is not written.
    let before = state();
    let (ok, answer) = apply(&format!("{service}{}", endpoint("")));
    assert!(ok && answer["objects"][0]["action"] == "unchanged", "{answer}");
    assert_eq!(state(), before);
    // A dry run neither.
    let (code, said) = outcome(daemon.cli().args(["delete", "endpoint", "e", "--dry-run"]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("endpoint e: would be removed"), "{said}");
    assert_eq!(state(), before);
    // A reload that would break them is refused, and lists them.
    let other = operators().replace("10.0.0.0/16", "10.7.0.0/16");
    daemon.write_config(&other).unwrap();
    let (code, said) = outcome(daemon.cli().arg("reload"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("api:service/web"), "{said}");
    assert_eq!(daemon.status().unwrap()["services"].as_array().unwrap().len(), 1);
}

/// How often the daemon is killed, and how many writes it has acknowledged at least by then.
fn kills() -> (u32, u32) {
    let writes = std::env::var("PRIVATELINK_OBJECT_WRITES").ok().and_then(|text| text.parse().ok());
    (writes.map_or(25, |writes: u32| writes / 10), writes.unwrap_or(100))
}

/// How the command line reaches a daemon.
fn socket_of(daemon: &Daemon) -> cli::daemon::Daemon {
    cli::daemon::Daemon::Socket(daemon.socket())
}

/// Makes two endpoints by one request, under numbers that rise.
fn write_pair(daemon: &Daemon, number: u32) -> Result<Written, socket::Error> {
    let endpoint = |letter: &str| {
        let keys = json!({
            "name": format!("{letter}{number}"), "service": "web", "network": "acme",
        });
        keys.as_object().cloned().unwrap()
    };
    let set = ObjectSet { endpoint: ["a", "b"].map(endpoint).into(), ..ObjectSet::default() };
    socket::write(&socket_of(daemon), (Method::POST, path::OBJECTS), Some(&set), false)
}

#[test]
fn kills_at_random_instants_lose_no_object_and_leave_none_half_made() {
    let (kills, least) = kills();
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), &operators()).unwrap();
    let keys = json!({
        "network": "vendor", "acceptance": "automatic", "allow": ["*"],
        "source_addresses": ["10.0.0.240/29"], "target": [{ "address": "10.0.0.10" }],
        "listener": [{ "protocol": "tcp", "port": 80 }],
    });
    let keys = Keys(keys.as_object().cloned().unwrap());
    let path = path::SERVICE.replace("{name}", "web");
    let _: Written =
        socket::write(&socket_of(&daemon), (Method::PUT, &path), Some(&keys), true).unwrap();
    let (next, acknowledged) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut round = 0;
    while round < kills || acknowledged.load(Ordering::Relaxed) < least {
        let ended = AtomicBool::new(false);
        let begin = next.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let number = next.load(Ordering::Relaxed);
                    match write_pair(&daemon, number) {
                        Ok(_) => acknowledged.store(number + 1, Ordering::Relaxed),
                        Err(_) => break,
                    }
                    next.store(number + 1, Ordering::Relaxed);
                }
            });
            // Any instant of a write, and of the daemon's first moments.
            thread::sleep(Duration::from_micros(u64::from(round * 7_919 % 300_000)));
            let id = nix::unistd::Pid::from_raw(daemon.id().unwrap().cast_signed());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
            ended.store(true, Ordering::Relaxed);
            writer.join().unwrap();
        });
        daemon.kill();
        daemon.run().unwrap();
        let set: ObjectSet = socket::get(&socket_of(&daemon), path::OBJECTS).unwrap();
        let has = |letter: &str, number: u32| {
            let name = Value::from(format!("{letter}{number}"));
            set.endpoint.iter().any(|one: &Map<String, Value>| one["name"] == name)
        };
        // What was found after the last kill was certain from then on.
        let certain = acknowledged.load(Ordering::Relaxed).max(begin);
        let mut found = 0;
        for number in 0..=next.load(Ordering::Relaxed) + 1 {
            assert_eq!(has("a", number), has("b", number), "round {round}: half of {number}");
            found += u32::from(has("a", number));
            assert!(has("a", number) || number >= certain, "round {round}: {number} is lost");
        }
        // One more may have been kept without the word having got out.
        assert!(found <= certain + 1, "round {round}: {found} of {certain}");
        next.store(found, Ordering::Relaxed);
        let plan = daemon.ask(&["plan", "--json"]).unwrap();
        assert_eq!(
            (&plan["changes"], &plan["entries"]),
            (&json!([]), &json!(0)),
            "{round}: {plan}"
        );
        round += 1;
    }
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    eprintln!("{round} kills, {acknowledged} writes acknowledged, none lost, none half made");
}

/// The environment variable that says how many endpoints are made by the API.
const MANY: &str = "PRIVATELINK_OBJECTS";

/// The writes that are timed.
const SINGLE: u32 = 500;

/// One write takes so long at most, of a hundred 99, once all of `MANY` are there.
const WITHIN: Duration = Duration::from_millis(100);

#[test]
fn the_last_of_many_endpoints_is_made_as_quickly_as_the_first() {
    let many: u32 = std::env::var(MANY).ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    let lab = lay().unwrap();
    // Ten endpoints to each service, as in the benchmark of the control plane.
    let services = many.div_ceil(10);
    let keys = "acceptance = \"automatic\"\nallow = [\"*\"]\n\
                listener = [{ protocol = \"tcp\", port = 7, target_port = 7777 }]";
    let config = many::services("max_flows = 65536", services, keys);
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let keys = |number: u32| {
        let keys = json!({
            "name": format!("e{number}"), "service": format!("s{}", number % services),
            "network": "acme", "addresses": [many::address(number)],
        });
        keys.as_object().cloned().unwrap()
    };
    // The first ones together, the last ones each by a request of its own.
    let alone = many.saturating_sub(SINGLE)..many;
    let set = ObjectSet { endpoint: (0..alone.start).map(keys).collect(), ..Default::default() };
    let post = (Method::POST, path::OBJECTS);
    let _: Written = socket::write(&socket_of(&daemon), post, Some(&set), false).unwrap();
    let mut last = Vec::new();
    for number in alone {
        let path = path::ENDPOINT.replace("{name}", &format!("e{number}"));
        let put = (Method::PUT, path.as_str());
        let begin = Instant::now();
        let _: Written =
            socket::write(&socket_of(&daemon), put, Some(&Keys(keys(number))), true).unwrap();
        last.push(begin.elapsed());
    }
    last.sort();
    let at = |percent: usize| last[(last.len() - 1) * percent / 100];
    let memory = fs::read_to_string(format!("/proc/{}/status", daemon.id().unwrap())).unwrap();
    let memory = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
    let begin = Instant::now();
    let plan = daemon.ask(&["reload", "--json"]).unwrap();
    let reload = begin.elapsed();
    assert_eq!((&plan["changes"], &plan["entries"]), (&json!([]), &json!(0)), "{plan}");
    let (p50, p99, most) = (at(50), at(99), at(100));
    eprintln!(
        "{many} endpoints: the last {} writes took {p50:?} (median), {p99:?} (99 %), {most:?} at \
         most; {memory}; an unchanged reload took {reload:?}",
        last.len()
    );
    if std::env::var_os(MANY).is_some() {
        assert!(p99 < WITHIN, "{p99:?}");
    }
}
