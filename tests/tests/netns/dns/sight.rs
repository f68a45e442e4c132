//! Counters of the name server, and events about it.

use anyhow::Result;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use privatelink_tests::lab::{Scrape, wait_until};
use privatelink_user::metrics::Format;
use serde_json::Value;

use super::{
    NAME, Scene, config,
    limits::{query, socket},
    server,
};
use crate::fixture::SOON;
use crate::metrics::described;

const URL: &str = "http://127.0.0.1:9469/metrics";

fn scrape(scene: &Scene) -> Scrape {
    let content = Format::Plain.content_type();
    Scrape::of(scene.lab.gateway(), URL, "text/plain", content).unwrap()
}

/// The sum of the samples of acme with these labels.
fn count(scene: &Scene, family: &str, labels: &[(&str, &str)]) -> u64 {
    let labels = [&[("network", "acme")], labels].concat();
    scrape(scene).sum(&format!("privatelink_dns_{family}_total"), &labels).unwrap_or(0.0) as u64
}

/// The kinds of the events about the name server.
fn events(scene: &Scene) -> Vec<String> {
    let events = scene.daemon.ask(&["events", "--kind", "dns-server", "--json"]).unwrap();
    let kinds = events.as_array().into_iter().flatten();
    kinds.filter_map(|event| event["kind"].as_str().map(ToOwned::to_owned)).collect()
}

/// More queries than a client's share, and fewer than a socket's buffer holds.
const MANY: u16 = 100;

/// Sends one datagram that is not a query, and many queries, at once.
fn flood() -> Result<()> {
    let socket = socket()?;
    socket.send(b"what?")?;
    for id in 0..MANY {
        socket.send(&query(NAME, id))?;
    }
    Ok(())
}

#[test]
fn every_query_is_counted_and_every_end_is_an_event() {
    let name = "name = \"gw-test\"\n";
    let limited = config().replacen("dns = true\n", "dns = true\ndns_rate = 20\n", 1).replacen(
        name,
        &format!("{name}metrics = \"127.0.0.1:9469\"\n"),
        1,
    );
    let scene = Scene::start(&limited);
    assert_eq!(events(&scene), ["dns-server-up"]);
    let absent = "absent.privatelink.internal";
    for words in [&[absent][..], &["+tcp", NAME], &["+tcp", absent]] {
        scene.code("acme", words);
    }
    let queries = |transport| count(&scene, "queries", &[("transport", transport)]);
    wait_until(SOON, "queries are counted", || queries("tcp") >= 2).unwrap();
    let before = queries("udp");
    scene.lab.host("acme").run(flood).unwrap();
    let counted = || queries("udp") > before + u64::from(MANY);
    wait_until(SOON, "the flood is counted", counted).unwrap();
    for transport in ["udp", "tcp"] {
        let of = |family| count(&scene, family, &[("transport", transport)]);
        let (answers, limited, ignored) = (of("answers"), of("limited"), of("ignored"));
        assert_eq!(of("queries"), answers + limited + ignored, "{transport}");
        assert_eq!(ignored, u64::from(transport == "udp"), "{transport}");
        let nxdomain = count(&scene, "answers", &[("transport", transport), ("code", "nxdomain")]);
        assert!(nxdomain >= 1 && answers > nxdomain, "{transport}: {nxdomain} of {answers}");
    }
    for result in ["truncated", "dropped"] {
        assert!(count(&scene, "limited", &[("transport", "udp"), ("result", result)]) > 10);
    }
    assert!(count(&scene, "tables", &[]) >= 1);
    let mut named = scrape(&scene).names();
    named.retain(|name, _| name.starts_with("privatelink_dns_"));
    assert_eq!(named, described(|name| name.starts_with("privatelink_dns_")));

    kill(Pid::from_raw(server(&scene.daemon).0), Signal::SIGKILL).unwrap();
    wait_until(SOON, "another server is active", || events(&scene).len() == 3).unwrap();
    assert_eq!(events(&scene)[1..], ["dns-server-down", "dns-server-up"]);
    let down: Value = scene.daemon.ask(&["events", "--kind", "dns-server-down", "--json"]).unwrap();
    // The daemon sees either the process or the connection end first.
    let reason = down[0]["reason"].as_str().unwrap();
    assert!(["exited", "closed", "reset"].iter().any(|word| reason.contains(word)), "{down}");
    wait_until(SOON, "counts begin anew", || queries("udp") <= before).unwrap();
}
