//! The daemon as a service: a user of its own, and no more capabilities than the unit gives.

use privatelink_tests::lab::{Daemon, Lab, Provider, client};

use crate::fixture::{CONFIG, ENDPOINT, SOON, at, everything_works, lay};

/// The unit, as it is packaged.
const UNIT: &str = include_str!("../../../packaging/privatelink.service");

/// The capabilities of the unit, as setpriv calls them.
fn capabilities() -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("AmbientCapabilities="));
    let names = line.unwrap_or_default().split_whitespace();
    names.filter_map(|name| name.strip_prefix("CAP_")).map(str::to_lowercase).collect()
}

fn start(lab: &Lab, capabilities: &[String]) -> anyhow::Result<Daemon> {
    let capabilities: Vec<&str> = capabilities.iter().map(String::as_str).collect();
    Daemon::start_unprivileged(lab.gateway(), &config(), &capabilities)
}

fn config() -> String {
    CONFIG.replacen("principal = \"acme\"\n", "principal = \"acme\"\ndns = true\n", 1)
}

/// The address that acme gets for a name.
fn named(lab: &Lab) -> String {
    let mut dig = lab.host("acme").command("dig");
    dig.args(["+short", "@10.1.0.1", "acme-web.web.privatelink.internal"]);
    let output = dig.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Fails if a test of the endpoint's way does.
fn passes(daemon: &Daemon) {
    let said = daemon.ask(&["test", "acme-web", "--json"]);
    assert!(said.is_ok(), "{said:?}");
}

#[test]
fn the_units_capabilities_are_enough() {
    let lab = lay().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let mut daemon = start(&lab, &capabilities()).unwrap();
    let flow = lab.host("acme").run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    everything_works(lab.host("acme")).unwrap();
    assert_eq!(named(&lab), "10.1.0.50");
    passes(&daemon);
    daemon
        .write_config(&config().replace("name = \"globex-web\"", "name = \"other-web\""))
        .unwrap();
    daemon.ask(&["reload", "--json"]).unwrap();
    daemon.kill();
    daemon.run().unwrap();
    client::tcp_exchange(&flow, 10_000, 1).unwrap();
    assert_eq!(named(&lab), "10.1.0.50");
    daemon.write_config(&config().replacen("= 4096", "= 40960", 1)).unwrap();
    daemon.ask(&["reload", "--grow", "--json"]).unwrap();
    assert_eq!(daemon.status().unwrap()["flows"]["capacity"], 40_960);
    client::tcp_exchange(&flow, 10_000, 2).unwrap();
    passes(&daemon);
    assert_eq!(named(&lab), "10.1.0.50");
    assert_eq!(daemon.status().unwrap()["problems"], serde_json::json!([]));
    assert_eq!(daemon.status().unwrap()["networks"][0]["xdp_mode"], "native");
    daemon.down().unwrap();
    let left = std::fs::read_dir(daemon.pin_dir()).unwrap().count();
    assert_eq!(left, 0, "only the directory remains, which the packaging created");
}

#[test]
fn each_of_the_units_capabilities_is_needed() {
    let lab = lay().unwrap();
    let all = capabilities();
    assert_eq!(all.len(), 5);
    for without in &all {
        let others: Vec<String> = all.iter().filter(|one| *one != without).cloned().collect();
        if ["net_raw", "net_bind_service"].contains(&without.as_str()) {
            let mut daemon = start(&lab, &others).unwrap();
            let problems = daemon.status().unwrap()["problems"].to_string();
            let missing = format!("CAP_{}", without.to_uppercase());
            assert!(problems.contains(&missing), "{problems}");
            daemon.down().unwrap();
            continue;
        }
        let refused = start(&lab, &others).err();
        let Some(error) = refused else { panic!("it starts without {without}") };
        assert!(format!("{error:#}").contains("CAP_"), "{error:#}");
    }
}
