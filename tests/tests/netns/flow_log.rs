//! Records of flows, compared with what the sockets sent and with the counters.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    env, fs,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use privatelink_tests::lab::{Load, client, wait_until};
use serde_json::Value;

use crate::{
    fixture::{CLIENT, ENDPOINT, NEVER, SERVER, SOON, Scene, at, ip},
    metrics,
};

/// Bytes of an IPv4 or IPv6 header and a UDP header.
const HEADERS: [u64; 2] = [28, 48];

fn config(log: &Path, more: &str) -> String {
    let to = log.display();
    format!(
        "{}\n[gateway.flow_log]\nto = \"{to}\"\ninterval = \"1s\"\n{more}\n",
        metrics::config(9469)
    )
}

pub fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = directory.path().join("flows.log");
    (directory, path)
}

/// The records, whole lines only.
pub fn records(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Packets and bytes in, packets and bytes out, of all records of flows that were carried.
pub fn sums(records: &[Value], wanted: impl Fn(&Value) -> bool) -> [u64; 4] {
    let carried = records.iter().filter(|record| record["verdict"] == "accept" && wanted(record));
    carried.fold([0; 4], |sum, record| {
        let count = |key: &str| record[key].as_u64().unwrap();
        let [a, b, c, d] = sum;
        [
            a + count("packets_in"),
            b + count("bytes_in"),
            c + count("packets_out"),
            d + count("bytes_out"),
        ]
    })
}

/// The same as the gateway counts them.
fn counted(scene: &Scene, endpoint: &str) -> Result<[u64; 4]> {
    let one = scene.daemon.ask(&["endpoints", endpoint, "--json"])?;
    let count = |key: &str| one[key].as_u64().context("no count");
    Ok([count("packets_in")?, count("bytes_in")?, count("packets_out")?, count("bytes_out")?])
}

/// A conversation over each protocol, which stays open.
struct Talk {
    stream: TcpStream,
    socket: UdpSocket,
}

impl Talk {
    fn open(scene: &Scene, family: usize) -> Result<Self> {
        let echo = at(ENDPOINT[family], 7);
        let any = ["0.0.0.0:0", "[::]:0"][family];
        let stream = scene.acme().run(|| client::connect(echo, SOON))?;
        let socket = scene.acme().run(|| Ok(UdpSocket::bind(any)?))?;
        socket.connect(echo)?;
        Ok(Self { stream, socket })
    }

    fn exchange(&self, datagrams: u64) -> Result<()> {
        client::tcp_exchange(&self.stream, 50_000, 1)?;
        for _ in 0..datagrams {
            client::udp_exchange(&self.socket, &[7; 100], SOON)?;
        }
        Ok(())
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story: the sums hold over all of it")]
fn every_byte_is_in_one_record() {
    let (_directory, log) = place();
    let mut scene = Scene::with(&config(&log, "")).unwrap();
    let talks = [0, 1].map(|family| Talk::open(&scene, family).unwrap());
    for talk in &talks {
        talk.exchange(10).unwrap();
        let echo = talk.stream.peer_addr().unwrap();
        scene.acme().run(|| client::tcp_echo(echo, 20_000, 2, SOON)).unwrap();
    }
    // A refused flow: the service has no such listener.
    let refused = scene.lab.host("globex").run(|| client::connect(at(ENDPOINT[0], 443), NEVER));
    assert!(refused.is_err());
    let lasting = |records: &[Value]| {
        let lasts = |record: &&Value| record["kind"] == "interval" && record["protocol"] == "udp";
        records.iter().filter(lasts).count() >= 2
    };
    wait_until(SOON, "live flows have interval records", || lasting(&records(&log))).unwrap();
    scene.daemon.kill();
    for talk in &talks {
        talk.exchange(5).unwrap();
    }
    scene.daemon.run().unwrap();
    let before = records(&log).len();
    talks[0].exchange(3).unwrap();
    wait_until(SOON, "the next daemon writes records", || records(&log).len() >= before + 4)
        .unwrap();

    // All flows end; their ends are in the log soon after the command returns.
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    let expected = counted(&scene, "acme-web").unwrap();
    let acme = |record: &Value| record["endpoint"] == "acme-web";
    let complete = || sums(&records(&log), acme) == expected;
    if let Err(error) = wait_until(SOON, "the sums agree", complete) {
        panic!("{error}: {:?} in the log, {expected:?} counted", sums(&records(&log), acme));
    }
    let all = records(&log);
    for (family, talk) in talks.iter().enumerate() {
        let datagrams = if family == 0 { 18 } else { 15 };
        let bytes = datagrams * (100 + HEADERS[family]);
        let client = talk.socket.local_addr().unwrap().port();
        let of_socket = |record: &Value| {
            let port = record["client"].as_str().and_then(|text| text.rsplit(':').next());
            record["protocol"] == "udp" && port == Some(client.to_string().as_str())
        };
        assert_eq!(sums(&all, of_socket), [datagrams, bytes, datagrams, bytes]);
    }
    let end = all.iter().rfind(|record| record["kind"] == "end").unwrap();
    assert_eq!(end["reason"], "not_admitted");
    for (key, value) in [
        ("service", "web"),
        ("network", "acme"),
        ("principal", "acme"),
        ("provider", "vendor"),
        ("verdict", "accept"),
    ] {
        assert_eq!(end[key], value, "{end}");
    }
    assert!(end["source"].is_string() && end["target"].as_str().unwrap().ends_with(":7777"));

    // A new flow is refused, and the refusal is in the log, too.
    let refused = scene.acme().run(|| client::connect(at(ENDPOINT[0], 80), NEVER));
    assert!(refused.is_err());
    let is_refusal = |record: &Value| {
        record["kind"] == "refused"
            && record["endpoint"] == "acme-web"
            && record["reason"] == "rejected"
            && record["verdict"] == "reject"
            && record["address"] == "10.1.0.50:80"
            // A SYN, as AWS has it.
            && record["tcp_flags_in"] == 2
    };
    wait_until(SOON, "the refusal is in the log", || records(&log).iter().any(is_refusal)).unwrap();
    let globex = |record: &Value| record["endpoint"] == "globex-web" && record["kind"] == "refused";
    let reason = records(&log).into_iter().find(globex).unwrap()["reason"].clone();
    assert_eq!(reason, "no_listener");
    let counts = &scene.daemon.status().unwrap()["flow_log"];
    assert!(counts["written"].as_u64().unwrap() > 0 && counts["lost"] == 0, "{counts}");
}

#[test]
fn the_log_follows_the_configuration() {
    let (_directory, log) = place();
    let scene = Scene::with(&metrics::config(9469)).unwrap();
    let fetch = || scene.acme().run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap();
    fetch();
    // From now on in the format of AWS, and without refusals.
    let more = "format = \"vpc\"\nrefusals = false\n";
    scene.daemon.write_config(&config(&log, more)).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    let text = || fs::read_to_string(&log).unwrap_or_default();
    wait_until(SOON, "the end is in the log", || text().lines().count() >= 3).unwrap();
    let first = text();
    let lines: Vec<Vec<&str>> = first.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines[0][..4], ["version", "account-id", "interface-id", "srcaddr"], "{first}");
    assert_eq!(lines[1][..5], ["2", "acme", "acme-web", "10.1.0.2", "10.1.0.50"], "{first}");
    assert_eq!(lines[2][..5], ["2", "acme", "acme-web", "10.1.0.50", "10.1.0.2"], "{first}");
    assert!(lines.iter().all(|line| line.len() == 14), "{first}");
    assert!(!first.contains("REJECT"), "{first}");

    // After the file was moved away, a reload starts a new one.
    let moved = log.with_extension("moved");
    fs::rename(&log, &moved).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    scene.daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
    fetch();
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    wait_until(SOON, "a new file is written", || text().lines().count() >= 3).unwrap();
    assert_eq!(fs::read_to_string(&moved).unwrap(), first);

    // A path that cannot be written causes a problem, but does not affect traffic.
    let nowhere = config(Path::new("/proc/no/such/place"), "");
    scene.daemon.write_config(&nowhere).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    scene.daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
    fetch();
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    let lost = || scene.daemon.status().is_ok_and(|all| all["flow_log"]["lost"].as_u64() > Some(0));
    wait_until(SOON, "the loss is counted", lost).unwrap();
    let is_event = || {
        let events = scene.daemon.ask(&["events", "--kind", "flow-log", "--json"]).unwrap();
        events.as_array().is_some_and(|events| events.len() == 1)
    };
    wait_until(SOON, "the loss is an event", is_event).unwrap();
    let counts = metrics::scrape(&scene).unwrap();
    let count = |result| counts.sum("privatelink_flow_log_records_total", &[("result", result)]);
    let (written, lost) = (count("written"), count("lost"));
    assert!(written > Some(0.0) && lost > Some(0.0), "{written:?} {lost:?}");
}

/// Flows that end at once, and how many times; `FLOOD=100000x10` asks for more.
fn flood() -> (u16, u32) {
    let asked = env::var("FLOOD").unwrap_or_default();
    let (flows, rounds) = asked.split_once('x').unwrap_or(("10000", "2"));
    (flows.parse::<u32>().map_or(5_000, |flows| (flows / 2) as u16), rounds.parse().unwrap_or(2))
}

/// The share of ends that must be written. The ring and the log's queue hold more records than the
/// default flood has, so only a log that stops writing loses more than this.
const WRITTEN: f64 = 0.95;

/// Sends one datagram from each of `count` ports to a port that never replies.
fn open_flows(from: IpAddr, to: SocketAddr, count: u16) -> Result<()> {
    for port in 0..count {
        let socket = UdpSocket::bind(SocketAddr::new(from, 10_000 + port))?;
        socket.send_to(b"x", to)?;
    }
    Ok(())
}

/// A rejection ends all flows of an endpoint within one sweep, which is the largest possible burst
/// of end records. Nearly all must be written, the rest counted as lost, and the traffic of the
/// other endpoint must not suffer.
#[test]
fn a_flood_of_ends_is_written_and_losses_are_counted() {
    let (_directory, log) = place();
    let (flows, rounds) = flood();
    let listener = "[[service.listener]]\nprotocol = \"udp\"\nport = 9\ntarget_port = 9999\n\n";
    let target = "[[service.target]]\naddress = \"10.0.0.10\"";
    let config = config(&log, "rotate_size = \"1T\"\n")
        .replacen("interval = \"1s\"", "interval = \"10m\"", 1)
        .replacen(target, &format!("{listener}{target}"), 1)
        .replacen("max_flows = 4096", "max_flows = 250000", 1);
    let scene = Scene::with(&config).unwrap();
    // Open sockets that never read: no ICMP error ends the flows.
    let vendor = scene.lab.host("vendor");
    let bind = |server: &str| vendor.run(|| Ok(UdpSocket::bind(at(server, 9999))?)).unwrap();
    let _sinks = SERVER.map(bind);
    let load =
        Load::start(scene.lab.host("globex"), &ENDPOINT.map(|address| at(address, 7))).unwrap();
    let opened = || {
        let one = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
        one["new_flows"].as_u64().unwrap()
    };
    let counted = || {
        let status = scene.daemon.status().unwrap();
        let count = |key: &str| status["flow_log"][key].as_u64().unwrap();
        (count("written"), count("lost"))
    };
    for _ in 0..rounds {
        scene.daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
        for (client, endpoint) in CLIENT.into_iter().zip(ENDPOINT) {
            scene.acme().run(|| open_flows(ip(client), at(endpoint, 9), flows)).unwrap();
        }
        scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
        let enough = || counted().0 + counted().1 >= opened();
        wait_until(SOON * 6, "every end is written or lost", enough).unwrap();
    }
    let harmed = load.finish().unwrap();
    let opened = opened();
    assert!(opened > u64::from(flows) * u64::from(rounds), "only {opened} flows were opened");
    let of_kind = |kind: &str| format!("\"kind\":\"{kind}\"");
    let tallied = || {
        let text = fs::read_to_string(&log).unwrap();
        let ends = text.lines().filter(|line| {
            line.contains(&of_kind("end")) && line.contains("\"endpoint\":\"acme-web\"")
        });
        let gaps = text.lines().filter(|line| line.contains(&of_kind("lost")));
        let records = |line: &str| serde_json::from_str::<Value>(line).ok()?["records"].as_u64();
        (ends.count() as u64, gaps.filter_map(records).sum::<u64>())
    };
    let all = || tallied().0 + tallied().1 == opened;
    let complete = wait_until(SOON, "every end is in the log, or counted there", all);
    let (ends, lost) = tallied();
    assert_eq!(lost, counted().1, "the log and the daemon disagree about lost records");
    assert!(complete.is_ok(), "{ends} ends written, {lost} counted as lost, of {opened}");
    let least = opened as f64 * WRITTEN;
    assert!(ends as f64 >= least, "only {ends} of {opened} ends were written, {lost} lost");
    assert_eq!((harmed.lost, harmed.strange), (0, 0), "{harmed:?}");
}
