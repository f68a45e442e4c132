//! Hosts that change their Ethernet addresses again and again: what that costs the daemon, and what
//! is left of everybody's events.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;
use privatelink_tests::lab::{DEVICE, Daemon, Host, Namespace, many, wait_until};
use privatelink_user::datapath::{bpf::FrameSender, frames::announce};
use serde_json::Value;

use crate::{
    fixture::{SOON, Scene, everything_works, ip, lay},
    metrics,
};

/// Next hops that flap. The kernel has one table of neighbours for all namespaces of the machine, so
/// they must not be too many.
const HOPS: u8 = 120;
/// How often each of them changes: three times are published one by one.
const ROUNDS: u8 = 6;
/// Changes of next hops that the gateway publishes at once for one principal.
const BURST: usize = 256;

/// The Ethernet address that the hosts have in a round.
fn mac(round: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0xee, round]
}

/// Announces that these addresses are at this Ethernet address.
fn announce(host: &Host, addresses: impl Iterator<Item = String>, mac: [u8; 6]) {
    let frames: Vec<Vec<u8>> =
        addresses.map(|address| announce::frame(mac, 0, ip(&address))).collect();
    host.send_frames(&frames).unwrap();
}

/// Lets every announcement on this interface change the kernel's table, instead of one a second.
fn believe_all(gateway: &Namespace, interface: &str) {
    gateway.set(&format!("ipv4/neigh/{interface}/locktime"), "0").unwrap();
}

fn hop(number: u8) -> String {
    format!("10.0.3.{number}")
}

fn config() -> String {
    let mut text = metrics::config(9469);
    text = text.replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1);
    text += "\n[[service]]\nname = \"noisy\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
             acceptance = \"automatic\"\nallow = [\"*\"]\nsource_addresses = [\"10.0.0.248/29\"]\n\
             listener = [{ protocol = \"tcp\", port = 80 }]\n";
    for number in 1..=HOPS {
        write!(text, "[[service.target]]\naddress = \"{}\"\n", hop(number)).unwrap();
    }
    text + "[[endpoint]]\nname = \"globex-noisy\"\nservice = \"noisy\"\nnetwork = \"globex\"\n\
            addresses = [\"10.1.0.60\"]\n"
}

fn events(daemon: &Daemon, kind: &str) -> Vec<Value> {
    let words = ["events", "--json", "--limit", "10000", "--kind", kind];
    daemon.ask(&words).unwrap().as_array().unwrap().clone()
}

fn left_out(scene: &Scene) -> u64 {
    let status = scene.daemon.status().unwrap();
    let all = status["left_out"].as_array().cloned().unwrap_or_default();
    assert!(all.iter().all(|one| one["principal"] == "vendor"), "{all:?}");
    all.first().map_or(0, |one| one["events"].as_u64().unwrap())
}

#[test]
fn announcements_of_one_host_erase_no_events_of_others() {
    let scene = Scene::with(&config()).unwrap();
    let begin = Instant::now();
    believe_all(scene.lab.gateway(), "veth-vendor");
    scene.daemon.ask(&["accept", "acme-web", "--reason", "before the flood", "--json"]).unwrap();
    scene.lab.gateway().ip("link set veth-initech down").unwrap();
    let down = || !events(&scene.daemon, "interface-down").is_empty();
    wait_until(SOON, "the event of another principal", down).unwrap();
    let last = hop(HOPS);
    for round in 1..=ROUNDS {
        announce(scene.lab.host("vendor"), (1..=HOPS).map(hop), mac(round));
        let expected = format!("02:00:00:00:ee:{round:02x}");
        wait_until(SOON * 3, "the daemon knows the new addresses", || {
            let targets = scene.daemon.ask(&["targets", "--json"]).unwrap();
            let all = targets.as_array().unwrap();
            all.iter().any(|one| one["address"] == *last && one["mac"] == *expected)
        })
        .unwrap();
    }
    let found = events(&scene.daemon, "next-hop-found");
    let mut by_hop = BTreeMap::<String, u32>::new();
    for event in &found {
        *by_hop.entry(event["address"].to_string()).or_default() += 1;
    }
    assert!(by_hop.values().all(|count| *count <= 3), "{by_hop:?}");
    // A burst, and one a second.
    assert!((BURST..BURST + 100).contains(&found.len()), "{} events", found.len());
    let count = left_out(&scene);
    assert!(count > 0 && count + found.len() as u64 <= 3 * u64::from(HOPS) + 9, "{count}");
    let page = metrics::scrape(&scene).unwrap().text;
    assert!(page.contains("privatelink_events_left_out_total{principal=\"acme\"} 0"), "{page}");
    let sample = format!("privatelink_events_left_out_total{{principal=\"vendor\"}} {count}");
    assert!(page.contains(&sample), "{sample} is not in\n{page}");
    // The log is not filled either: 30 lines, and one every two seconds; sums every ten. Other events
    // of the vendor have had some of them.
    let output = scene.daemon.output();
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap() + 2;
    let count = |text: &str| output.lines().filter(|line| line.contains(text)).count();
    let lines = count("network vendor: next hop 10.0.3.");
    assert!((20..=30 + seconds / 2).contains(&lines), "{lines} lines in {seconds} s");
    assert!(count("map entries changed") <= 2 + seconds / 10, "{output}");
    let unlogged = || scene.daemon.output().contains("of principal vendor are not in this log");
    wait_until(SOON, "how many have no line is logged", unlogged).unwrap();
    // No other client has lost anything.
    assert!(down());
    let decided = events(&scene.daemon, "connection-available");
    assert!(decided.iter().any(|event| event["reason"] == "before the flood"), "{decided:?}");
    everything_works(scene.acme()).unwrap();
    // The other changes are one event for each next hop.
    let flapping = || events(&scene.daemon, "next-hop-flapping").len() >= HOPS.into();
    wait_until(Duration::from_secs(120), "the others are told of together", flapping).unwrap();
    assert_eq!(events(&scene.daemon, "next-hop-flapping").len(), usize::from(HOPS));
    let told = events(&scene.daemon, "events-left-out");
    assert!(told.iter().any(|event| event["principal"] == "vendor"), "{told:?}");
}

const ENDPOINTS: u32 = 5_000;
/// The hosts, each of which announces itself once a second.
const HOSTS: u8 = 50;
const ROUND: Duration = Duration::from_secs(1);
/// The most CPU time that the daemon may take in a second, beyond what it takes without.
const MOST: f64 = 0.05;

/// The share of a core that the daemon takes while something is done in its time.
fn cpu_share(daemon: &Daemon, act: impl FnOnce()) -> f64 {
    let (begin, before) = (Instant::now(), daemon.cpu_time().unwrap());
    act();
    let used = daemon.cpu_time().unwrap() - before;
    used.as_secs_f64() / begin.elapsed().as_secs_f64()
}

#[test]
fn changes_of_hosts_that_are_not_watched_cost_nothing() {
    let lab = lay().unwrap();
    let (gateway, acme) = (lab.gateway(), lab.host("acme"));
    let host = |number: u8| format!("10.1.200.{number}");
    let daemon = Daemon::start(gateway, &many::endpoints("max_flows = 4096", ENDPOINTS)).unwrap();
    believe_all(gateway, "veth-acme");
    for number in 1..=HOSTS {
        let entry = format!("{} lladdr 02:00:00:00:dd:dd dev veth-acme nud stale", host(number));
        gateway.ip(&format!("neigh replace {entry}")).unwrap();
    }
    // A share of time is measured, so there is no condition to wait for.
    let idle = cpu_share(&daemon, || thread::sleep(ROUND * 10));
    let announce_all = || {
        let (sender, index) = (FrameSender::open()?, if_nametoindex(DEVICE)?);
        for (round, number) in (1..=10).flat_map(|round| (1..=HOSTS).map(move |host| (round, host)))
        {
            sender.send(index, &announce::frame(mac(round), 0, ip(&host(number))))?;
            thread::sleep(ROUND / HOSTS.into());
        }
        Ok(())
    };
    let flooded = cpu_share(&daemon, || acme.run(announce_all).unwrap());
    println!("{ENDPOINTS} endpoints: {idle:.3} of a core idle, {flooded:.3} at {HOSTS} ARP/s");
    // They did arrive.
    let entry = gateway.ip(&format!("neigh show to {}", host(HOSTS))).unwrap();
    assert!(entry.contains("02:00:00:00:ee:0a"), "{entry}");
    assert!(flooded < idle + MOST, "{flooded:.3} of a core instead of {idle:.3}");
}
