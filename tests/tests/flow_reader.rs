//! A program for AWS VPC Flow Logs reads the flow log in that format. Needs Python's
//! flowlogs-reader; run by `cargo xtask test`.

use std::{fs, net::IpAddr, path::Path, process::Command, sync::Arc};

use privatelink_common::{
    Addr, End, EndCause, Endpoint, Reason, RefusedFlow, TCP, Target,
    flow::{Flow, Phase, word},
};
use privatelink_user::{
    config,
    flow_log::{Batch, Clock, FlowSource, IndexNames, Log},
    model::LogField,
    state::{State, targets::Inputs},
    timestamp::Timestamp,
};
use serde_json::Value;

fn ports(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap_or_else(|error| panic!("{text}: {error}")).into()
}

/// A flow that was closed, and one that was refused, through the endpoint of this index.
fn batch(endpoint: u32, names: IndexNames) -> Batch {
    let word = u32::from(TCP) << word::PROTOCOL_SHIFT | Phase::Closing.bits();
    let end = End {
        flow: Flow {
            word: word | 3 << word::FLAGS_SHIFT,
            client: addr("10.1.0.2"),
            consumer_ports: ports(40_000, 80),
            provider_ports: ports(8080, 1024),
            endpoint: endpoint as u16,
            packets: 5,
            bytes: 500,
            opened: 100,
            ..Flow::default()
        },
        endpoint: Endpoint { v4: u32::from_ne_bytes([10, 1, 0, 50]), ..Endpoint::default() },
        target: Target { address: addr("10.0.0.10"), ..Target::default() },
        source: addr("10.0.0.240"),
        packets_out: 4,
        bytes_out: 4_000,
        word_out: word | word::REVERSE | 19 << word::FLAGS_SHIFT,
        last_seen: 160,
        cause: EndCause::Closed as u32,
    };
    let refused = RefusedFlow {
        client: addr("fd00:1::2"),
        address: addr("fd00:1::50"),
        ports: ports(40_001, 81),
        protocol: TCP.into(),
        endpoint,
        reason: Reason::NoListener as u32,
        length: 72,
        tick: 200,
    };
    Batch {
        ends: vec![end],
        refused: vec![refused],
        left_out: 7,
        names: Arc::new(names),
        clock: Clock { ticks: 200, now: Timestamp::from_millis(1_700_000_000_000) },
    }
}

fn read(log: &Path) -> Vec<Value> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = tests.join("../target/flow-reader/bin/python");
    let output = Command::new(&python)
        .arg(tests.join("tests/flow_reader.py"))
        .arg(log)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: cargo xtask setup", python.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// Writes a log with these fields, and reads it.
fn records(fields: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let text = include_str!("../../examples/quickstart.toml");
    let log =
        format!("\n[gateway.flow_log]\nto = \"{}\"\nformat = \"vpc\"\n{fields}\n", path.display());
    let loaded = config::from_text("t.toml", &(text.to_owned() + &log));
    let model = loaded.unwrap_or_else(|faults| panic!("{faults}")).model;
    let (mut state, mut names) = (State::default(), IndexNames::default());
    let now = Timestamp::from_millis(0);
    state.follow(&model, &Default::default(), &Inputs::default(), now).unwrap();
    names.update(&model, &state.ids);
    let endpoint = model.endpoints().values().next().unwrap();
    let index = state.ids.endpoint(endpoint).unwrap();
    let settings = model.gateway().flow_log.clone().unwrap();
    let log = Log::start(settings, folder.path(), FlowSource::new(|_| {}), Arc::default()).unwrap();
    log.submit(batch(index, names));
    drop(log);
    assert!(fs::read_to_string(&path).unwrap().lines().count() > 3);
    read(&path)
}

#[test]
fn the_default_fields_are_read() {
    let records = records("");
    let [there, back, refused, gap] = records.as_slice() else { panic!("{records:?}") };
    for (record, key, value) in [
        (there, "version", "2"),
        (there, "account_id", "\"acme\""),
        (there, "interface_id", "\"acme-web\""),
        (there, "srcaddr", "\"10.1.0.2\""),
        (there, "dstaddr", "\"10.1.0.50\""),
        (there, "srcport", "40000"),
        (there, "dstport", "80"),
        (there, "protocol", "6"),
        (there, "packets", "5"),
        (there, "bytes", "500"),
        (there, "start", "\"2023-11-14 22:13:18\""),
        (there, "end", "\"2023-11-14 22:13:19\""),
        (there, "action", "\"ACCEPT\""),
        (there, "log_status", "\"OK\""),
        (back, "srcaddr", "\"10.1.0.50\""),
        (back, "bytes", "4000"),
        (refused, "action", "\"REJECT\""),
        (refused, "srcaddr", "\"fd00:1::2\""),
        (refused, "dstport", "81"),
        (gap, "log_status", "\"SKIPDATA\""),
    ] {
        assert_eq!(record[key].to_string(), value, "{key} of {record}");
    }
}

#[test]
fn all_fields_are_read() {
    let words: Vec<&str> = LogField::ALL.iter().map(|field| field.word()).collect();
    let records = records(&format!("fields = {words:?}"));
    let [there, back, ..] = records.as_slice() else { panic!("{records:?}") };
    for (record, key, value) in [
        (there, "version", "5"),
        (there, "tcp_flags", "3"),
        (there, "pkt_dstaddr", "\"10.0.0.10\""),
        (there, "flow_direction", "\"ingress\""),
        (there, "type", "\"IPv4\""),
        (back, "tcp_flags", "19"),
        (back, "pkt_srcaddr", "\"10.0.0.10\""),
        (back, "flow_direction", "\"egress\""),
    ] {
        assert_eq!(record[key].to_string(), value, "{key} of {record}");
    }
}
