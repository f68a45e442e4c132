//! `privatelink test` names the step that fails, whose it is, and nothing else.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use aya::maps::{Array, Map, MapData};
use privatelink_common::{maps, share::Block};
use privatelink_tests::lab::{DEVICE, Daemon, Lab, Network, Provider, client, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, Scene, at, everything_works, reload};

/// An answer within this time is soon enough.
const PROMPT: Duration = Duration::from_secs(3);

/// What `privatelink test acme-web` prints, whatever it finds.
fn test(daemon: &Daemon, words: &[&str]) -> Value {
    let begin = Instant::now();
    let output = daemon.cli().args(["test", "acme-web", "--json"]).args(words).output().unwrap();
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let test: Value = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(output.status.code(), Some(i32::from(test["passed"] != true)), "{test}");
    // The programs are loaded at the first test.
    let is_first = !PROMPTLY.with(|promptly| promptly.replace(true));
    assert!(is_first || took < PROMPT, "it took {took:?}: {test}");
    test
}

thread_local! {
    /// Whether this test's daemon has the programs loaded: each runs in a thread of its own.
    static PROMPTLY: Cell<bool> = const { Cell::new(false) };
}

/// Step and owner of what fails.
fn fault(test: &Value) -> [String; 2] {
    ["step", "owner"].map(|key| test["fault"][key].as_str().unwrap_or_default().to_owned())
}

/// Waits until a test with each of these words names this step and this owner.
fn names(daemon: &Daemon, step: &str, owner: &str, words: &[&[&str]]) {
    for words in words {
        let mut last = Value::Null;
        let found = wait_until(SOON, "the fault is named", || {
            last = test(daemon, words);
            fault(&last) == [step, owner]
        });
        assert!(found.is_ok(), "not {step} of {owner} for {words:?}: {last:#}");
        let remedy = last["fault"]["remedy"].as_str().unwrap();
        assert!(remedy.len() > 10, "{remedy}");
    }
}

/// Waits until nothing fails.
fn passes(daemon: &Daemon) {
    let mut last = Value::Null;
    let found = wait_until(SOON, "nothing fails", || {
        last = test(daemon, &[]);
        last["passed"] == true
    });
    assert!(found.is_ok(), "{last:#}");
}

/// Both families.
const BOTH: [&[&str]; 2] = [&["--from", "10.1.0.2"], &["--from", "fd00:1::2"]];
/// Neither in particular.
const ANY: [&[&str]; 1] = [&[]];

fn endpoint(keys: &str) -> String {
    let addresses = "addresses = [\"10.1.0.50\", \"fd00:1::50\"]\n";
    CONFIG.replacen(addresses, &format!("{addresses}{keys}\n"), 1)
}

fn service(keys: &str) -> String {
    let automatic = "acceptance = \"automatic\"\n";
    CONFIG.replacen(automatic, &format!("{automatic}{keys}\n"), 1)
}

#[test]
fn a_healthy_way_passes_and_a_test_leaves_no_trace() {
    let scene = Scene::start().unwrap();
    passes(&scene.daemon);
    let state = || {
        let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
        let flows = scene.daemon.ask(&["flows", "--json"]).unwrap().as_array().unwrap().len();
        let keys = ["new_flows", "packets_in", "packets_out", "drops", "source_ports"];
        (keys.map(|key| endpoint[key].clone()), flows, scene.daemon.drops().unwrap())
    };
    let before = state();
    for number in 0..100 {
        let test = test(&scene.daemon, &[]);
        assert_eq!(test["passed"], true, "run {number}: {test:#}");
        let outcomes = test["steps"].as_array().unwrap().iter().map(|step| &step["outcome"]);
        let wrong = outcomes.filter(|outcome| *outcome != "passed").count();
        // No network is served names here.
        assert_eq!(wrong, 1, "{test:#}");
    }
    assert_eq!(state(), before);
    let walks = test(&scene.daemon, &[])["walks"].clone();
    let walks = walks.as_array().unwrap();
    assert_eq!(walks.len(), 6, "three listeners, two families: {walks:?}");
    let source = walks[0]["source"].as_str().unwrap();
    assert!(source.starts_with("10.0.0.24"), "{source}");
    everything_works(scene.acme()).unwrap();
}

#[test]
fn faults_of_the_consumer_are_named() {
    let scene = Scene::start().unwrap();
    let daemon = &scene.daemon;
    let own: [&[&str]; 2] = [&["--from", ENDPOINT[0]], &["--from", ENDPOINT[1]]];
    names(daemon, "sender", "consumer", &own);
    names(daemon, "sender", "consumer", &[&["--from", "10.1.255.255"]]);
    names(
        daemon,
        "listener",
        "consumer",
        &[&["--port", "81"], &["--port", "81", BOTH[1][0], BOTH[1][1]]],
    );

    reload(
        daemon,
        &endpoint("allow = [{ from = \"10.1.9.0/24\" }, { from = \"fd00:1::900/120\" }]"),
    )
    .unwrap();
    names(daemon, "rules", "consumer", &BOTH);
    passes(daemon);
    reload(daemon, &endpoint("allow = [{ from = \"10.1.0.0/16\", ports = [\"7\"] }, { from = \"fd00:1::/64\", ports = [\"7\"] }]")).unwrap();
    names(daemon, "rules", "consumer", &[&["--port", "80"]]);
    assert_eq!(test(daemon, &["--port", "7"])["passed"], true);

    // One flow is all that it may have.
    reload(daemon, &endpoint("limits = { flows = 1 }")).unwrap();
    passes(daemon);
    let held = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    names(daemon, "limits", "consumer", &BOTH);
    drop(held);

    // Two in one second are too many, and a handshake is more than a packet.
    for limit in ["new_flows_per_second = 1", "packets_per_second = 1", "bits_per_second = 64"] {
        reload(daemon, &endpoint(&format!("limits = {{ {limit} }}"))).unwrap();
        let mut found = [String::new(), String::new()];
        wait_until(SOON, "the limit is named", || {
            for _ in 0..4 {
                // Those over the limit get no answer, or a refusal.
                let _ = scene
                    .acme()
                    .run(|| client::connect(at(ENDPOINT[0], 7), Duration::from_millis(50)));
            }
            found = fault(&test(daemon, &["--port", "7"]));
            found == ["limits", "consumer"]
        })
        .unwrap_or_else(|error| panic!("{limit}: {error}: {found:?}"));
    }
    // A limit that is not used up is no fault, however low.
    reload(daemon, &endpoint("limits = { packets_per_second = 5 }")).unwrap();
    passes(daemon);
    // Who has only one family does not reach the other.
    reload(daemon, &CONFIG.replacen("[\"10.1.0.50\", \"fd00:1::50\"]", "[\"10.1.0.50\"]", 1))
        .unwrap();
    names(daemon, "addresses", "consumer", &[BOTH[1]]);
    reload(daemon, CONFIG).unwrap();
    passes(daemon);
}

#[test]
fn decisions_are_named() {
    let manual = CONFIG.replacen("acceptance = \"automatic\"\n", "acceptance = \"manual\"\n", 1);
    let scene = Scene::with(&manual).unwrap();
    let daemon = &scene.daemon;
    names(daemon, "connection", "provider", &BOTH);
    assert!(test(daemon, &[])["fault"]["remedy"].as_str().unwrap().contains("accept acme-web"));
    daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
    passes(daemon);
    daemon.ask(&["reject", "acme-web", "--reason", "unpaid", "--json"]).unwrap();
    names(daemon, "connection", "provider", &BOTH);
    assert!(test(daemon, &[])["fault"]["detail"].as_str().unwrap().contains("unpaid"));
    daemon.ask(&["accept", "acme-web", "--for", "1s", "--json"]).unwrap();
    names(daemon, "connection", "consumer", &BOTH);
}

#[test]
fn faults_of_the_provider_are_named() {
    let scene = Scene::start().unwrap();
    let daemon = &scene.daemon;
    // Nobody listens at the health check's port.
    let ill =
        "health_check = { protocol = \"tcp\", port = 9, interval = \"1s\", timeout = \"500ms\" }";
    reload(daemon, &service(ill)).unwrap();
    names(daemon, "targets", "provider", &BOTH);
    let mut weightless = CONFIG.to_owned();
    for server in SERVER {
        let target = format!("address = \"{server}\"\n");
        weightless = weightless.replacen(&target, &format!("{target}weight = 0\n"), 1);
    }
    reload(daemon, &weightless).unwrap();
    names(daemon, "targets", "provider", &BOTH);

    let absent = CONFIG.replacen(SERVER[0], "10.0.0.99", 1).replacen(SERVER[1], "fd00::99", 1);
    reload(daemon, &absent).unwrap();
    names(daemon, "next-hop", "provider", &BOTH);
    // Nothing serves this port of the targets.
    reload(daemon, &CONFIG.replacen("target_port = 8080", "target_port = 8088", 1)).unwrap();
    names(daemon, "answer", "provider", &[&["--port", "80"]]);
    let said = test(daemon, &["--port", "80"]);
    assert!(said["fault"]["detail"].as_str().unwrap().contains("10.0.0.10:8088"), "{said}");
    reload(daemon, CONFIG).unwrap();
    passes(daemon);

    // They do not know the way back.
    let vendor = scene.lab.host("vendor").namespace();
    for gateway in ["10.0.0.1/32", "fd00::1/128"] {
        vendor.ip(&format!("route add blackhole {gateway}")).unwrap();
    }
    names(daemon, "answer", "provider", &[&["--port", "80"]]);
    for gateway in ["10.0.0.1/32", "fd00::1/128"] {
        vendor.ip(&format!("route delete blackhole {gateway}")).unwrap();
    }
    // One family of targets is out of order: packets to the other pass, and something is wrong.
    vendor.ip("route add blackhole 10.0.0.1/32").unwrap();
    let doubtful = || {
        let said = test(daemon, &["--port", "80"]);
        let steps = said["steps"].as_array().unwrap();
        let answer = steps.iter().find(|step| step["step"] == "answer").unwrap();
        said["passed"] == true && answer["outcome"] == "doubtful"
    };
    wait_until(SOON, "one target is in doubt", doubtful).unwrap();
    vendor.ip("route delete blackhole 10.0.0.1/32").unwrap();
    passes(daemon);
}

#[test]
fn faults_of_the_gateway_are_named() {
    let scene = Scene::start().unwrap();
    let (daemon, gateway) = (&scene.daemon, scene.lab.gateway());
    for (interface, step) in [("veth-acme", "attachment"), ("veth-vendor", "provider-attachment")] {
        let keep = "sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1";
        let words: Vec<&str> = keep.split(' ').collect();
        assert!(gateway.command(words[0]).args(&words[1..]).status().unwrap().success());
        gateway.ip(&format!("link set {interface} down")).unwrap();
        names(daemon, step, "operator", &ANY);
        gateway.ip(&format!("link set {interface} name elsewhere")).unwrap();
        names(daemon, step, "operator", &ANY);
        gateway.ip(&format!("link set elsewhere name {interface}")).unwrap();
        gateway.ip(&format!("link set {interface} up")).unwrap();
        passes(daemon);
    }
    // A narrow segment lets packets through, but not all that IPv6 may send.
    gateway.ip("link set veth-vendor mtu 1200").unwrap();
    let narrow = || {
        let said = test(daemon, &["--from", "10.1.0.2", "--port", "80"]);
        let steps = said["steps"].as_array().unwrap();
        let mtu = steps.iter().find(|step| step["step"] == "mtu").unwrap();
        mtu["outcome"] == "doubtful" && mtu["owner"] == "operator"
    };
    wait_until(SOON, "the MTU is in doubt", narrow).unwrap();
    gateway.ip("link set veth-vendor mtu 1500").unwrap();
    gateway.ip("address add fd00::1/64 dev veth-vendor nodad").unwrap();
    passes(daemon);

    // Names are wanted, and there is no address to ask.
    reload(
        daemon,
        &CONFIG.replacen("principal = \"acme\"\n", "principal = \"acme\"\ndns = true\n", 1),
    )
    .unwrap();
    passes(daemon);
    let names_step = |said: &Value| {
        let steps = said["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == "names").unwrap()["outcome"].clone()
    };
    assert_eq!(names_step(&test(daemon, &[])), "passed");
    gateway.ip("address flush dev veth-acme scope global").unwrap();
    names(daemon, "names", "operator", &ANY);
    reload(daemon, CONFIG).unwrap();
    passes(daemon);

    // The records are not what the daemon believes.
    let path = daemon.pin_dir().join(maps::ENDPOINTS);
    let map = MapData::from_pin(path).and_then(Map::from_map_data).unwrap();
    let mut endpoints: Array<MapData, privatelink_common::Endpoint> = Array::try_from(map).unwrap();
    for index in 0..4 {
        let mut record = endpoints.get(&index, 0).unwrap();
        record.service = 9_999;
        endpoints.set(index, record, 0).unwrap();
    }
    let said = test(daemon, &[]);
    assert_eq!(said["passed"], false, "{said:#}");
}

#[test]
fn shortages_are_named() {
    // Room for few flows, of which the third consumer's endpoint could have as many.
    let config = CONFIG.replacen("max_flows = 4096", "max_flows = 64", 1);
    let scene = Scene::with(&config).unwrap();
    let daemon = &scene.daemon;
    let mut held = Vec::new();
    let full = wait_until(SOON, "the table is full", || {
        for _ in 0..8 {
            held.extend(
                scene
                    .acme()
                    .run(|| client::connect(at(ENDPOINT[0], 7), Duration::from_millis(200))),
            );
        }
        fault(&test(daemon, &[])) == ["room", "operator"]
    });
    assert!(full.is_ok(), "{} flows: {:#}", held.len(), test(daemon, &[]));
    // The other one has its share.
    let other = daemon.ask(&["test", "globex-web", "--json"]).unwrap();
    assert_eq!(other["passed"], true, "{other:#}");
    drop(held);

    // All blocks of ports are another endpoint's.
    let path = daemon.pin_dir().join(maps::PORT_BLOCKS);
    let map = MapData::from_pin(path).and_then(Map::from_map_data).unwrap();
    let mut blocks: Array<MapData, u64> = Array::try_from(map).unwrap();
    let others = Block(0).with_flow(4_000, true, u32::MAX).0;
    let count = blocks.len();
    for index in 0..count {
        blocks.set(index, others, 0).unwrap();
    }
    wait_until(SOON, "the table has room", || fault(&test(daemon, &[])) == ["ports", "provider"])
        .unwrap_or_else(|error| panic!("{error}: {:#}", test(daemon, &[])));
}

#[test]
fn hosts_with_addresses_of_the_gateway_are_named() {
    let lab = Lab::builder()
        .network(Network::consumer("acme").host("other", &["10.1.0.3/16", "fd00:1::3/64"]))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(
            Network::provider("vendor")
                .host("thief", &["10.0.0.11/16", "fd00::11/64"])
                .gateway(&["10.0.0.1/16", "fd00::1/64"]),
        )
        .build()
        .unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let take = |host: &str, address: &str| {
        lab.host(host).namespace().ip(&format!("address add {address} dev {DEVICE}")).unwrap();
    };
    take("other", "10.1.0.50/16");
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    names(&daemon, "addresses", "consumer", &ANY);
    drop(daemon);
    PROMPTLY.set(false);
    lab.host("other").namespace().ip(&format!("address delete 10.1.0.50/16 dev {DEVICE}")).unwrap();
    take("thief", "10.0.0.241/16");
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    names(&daemon, "source-addresses", "provider", &ANY);
}

#[test]
fn each_party_sees_its_own_side_and_whose_side_fails() {
    let principal = |name: &str, user: &str| {
        format!("[[principal]]\nname = \"{name}\"\nusers = [\"{user}\"]\n")
    };
    let users =
        principal("vendor", "games") + &principal("acme", "mail") + &principal("globex", "news");
    let config = endpoint("allow = [{ from = \"10.1.9.0/24\" }]") + &users;
    let scene = Scene::with(&config).unwrap();
    let daemon = &scene.daemon;
    daemon.open_to_all().unwrap();
    let ask = |user: &str, query: &str| {
        let path = format!("/v1/endpoints/acme-web/test{query}");
        let (code, said) = daemon.request("POST", &path, Some(user)).unwrap();
        (code, said.clone(), serde_json::from_str::<Value>(&said).unwrap())
    };
    // Nobody chooses a client of another's network, and not even the consumer one of elsewhere.
    assert_eq!(ask("games", "?from=10.1.0.2").0, 403);
    assert_eq!(ask("mail", "?from=10.0.0.10").0, 409);
    assert_eq!(ask("mail", "?port=0").0, 400);
    assert_eq!(ask("news", "").0, 404);

    // It is the consumer's rules that refuse the client.
    let (_, said, own) = ask("mail", "?from=10.1.0.2");
    assert_eq!(fault(&own), ["rules", "consumer"], "{said}");
    // The provider sees nothing of that: another client passes.
    let (_, said, others) = ask("games", "");
    assert_eq!(others["passed"], true, "{said}");
    for secret in ["10.1.", "fd00:1:", "veth-acme", "allow"] {
        assert!(!said.contains(secret), "the provider sees {secret}: {said}");
    }
    assert!(others.get("drops").is_none() && said.contains("10.0.0.10"), "{said}");

    // It is the provider's target that does not serve.
    reload(daemon, &(CONFIG.replacen("target_port = 8080", "target_port = 8088", 1) + &users))
        .unwrap();
    let (_, said, own) = ask("games", "?port=80");
    assert_eq!(fault(&own), ["answer", "provider"], "{said}");
    let (_, said, others) = ask("mail", "?port=80");
    assert_eq!(fault(&others), ["provider-side", "provider"], "{said}");
    for secret in ["10.0.0.", "fd00::", "veth-vendor", "8088", "refuse"] {
        assert!(!said.contains(secret), "the consumer sees {secret}: {said}");
    }
    // And no tenant keeps the gateway busy.
    let codes: Vec<u16> = (0..12).map(|_| ask("mail", "?port=80").0).collect();
    assert!(codes.contains(&409), "{codes:?}");
    assert_eq!(ask("games", "?port=80").0, 200, "another has its own turns");
}
