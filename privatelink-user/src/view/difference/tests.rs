use std::net::IpAddr;

use privatelink_common::{Addr, TCP, flow::word};

use super::*;
use crate::{
    config,
    datapath::tables::MapTables,
    desired::{Pools, desired},
    host::{HostFacts, Link},
    state::{
        State,
        ids::Ids,
        targets::{Inputs, addresses},
    },
    timestamp::Timestamp,
};

const PARTS: &str = include_str!("../../desired/tests.toml");
const RULES: &str = "allow = [\"acme\"]\naccept = [\"acme\"]";

fn before() -> String {
    PARTS.replace("# rules", RULES)
}

fn model(text: &str) -> Model {
    config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
}

fn facts() -> HostFacts {
    let mut facts = HostFacts::default();
    for (index, name) in (3..).zip(["veth-acme", "veth-globex", "veth-vendor"]) {
        facts.insert_link(Link {
            index,
            name: name.into(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            allmulti: false,
            tag: None,
        });
    }
    facts
}

/// What changes when the configuration becomes `text`, with one flow from each endpoint's first
/// address to each target of its family.
fn compare_with(text: &str) -> Difference {
    let (old, new) = (model(&before()), model(text));
    let now = Timestamp::from_millis(1_000_000);
    let (mut state, inputs) = (State::default(), Inputs::default());
    state.follow(&old, &facts(), &inputs, now).unwrap();
    let mut next = state.clone();
    next.follow(&new, &facts(), &inputs, now).unwrap();
    let mut pools = Pools::default();
    pools.arrange(&old, &state.ids, &inputs, &MapTables::default());
    let before = desired(&old, &state, &facts(), &inputs, &pools, now);
    pools.arrange(&new, &next.ids, &inputs, &before);
    let after = desired(&new, &next, &facts(), &inputs, &pools, now);
    let flows = flows(&old, &state.ids);
    between(
        Side { model: &old, state: &state, inputs: &inputs, tables: &before },
        Side { model: &new, state: &next, inputs: &inputs, tables: &after },
        flows.into_iter(),
    )
}

fn flows(model: &Model, ids: &Ids) -> Vec<Flow> {
    let mut flows = Vec::new();
    for endpoint in model.endpoints().values() {
        let service = &model.services()[&endpoint.service];
        let addresses = addresses(service, &Inputs::default()).into_keys();
        for address in addresses.filter(IpAddr::is_ipv4) {
            let client: IpAddr = [10, 1, 0, 2].into();
            let pool = ids.source_pool(service, crate::state::ids::Family::V4);
            let forward = Flow {
                word: word::LIVE | u32::from(TCP) << word::PROTOCOL_SHIFT,
                client: Addr::from(client),
                endpoint: ids.endpoint(endpoint).unwrap() as u16,
                target: ids.target(service, address).unwrap() as u16,
                source: pool.first.try_into().unwrap(),
                ..Flow::default()
            };
            flows.push(forward);
            flows.push(Flow { word: forward.word | word::REVERSE, ..forward });
        }
    }
    assert!(flows.len() > 2, "the configuration of the test has flows");
    flows
}

/// The changes as lines such as `~ service web: drain 5m -> 10s (cuts 3)`.
fn lines(difference: &Difference) -> Vec<String> {
    let line = |change: &Change| {
        let sign = match change.action {
            Action::Added => '+',
            Action::Changed => '~',
            Action::Removed => '-',
        };
        let what = change.what.join("; ");
        let (cut, drained) = (change.flows_cut, change.flows_drained);
        let drains = if drained > 0 { format!(", drains {drained}") } else { String::new() };
        format!("{sign} {} {}: {what} (cuts {cut}{drains})", change.kind, change.name)
    };
    difference.changes.iter().map(line).collect()
}

#[test]
fn the_same_configuration_changes_nothing() {
    assert_eq!(compare_with(&before()), Difference::default());
}

/// Puts something else in the place of a part, and returns the changes.
fn with(part: &str, other: &str) -> Vec<String> {
    let text = before();
    assert!(text.contains(part), "{part}");
    let difference = compare_with(&text.replacen(part, other, 1));
    let counted: u64 = difference.changes.iter().map(|change| change.flows_cut).sum();
    assert_eq!(counted, difference.flows_cut, "each flow is counted once, at what ends it");
    lines(&difference)
}

#[test]
fn each_change_is_named_with_the_flows_that_it_ends() {
    for (part, other, expected) in [
        // Who was accepted stays so; who is not allowed any more does not.
        (RULES, "allow = [\"acme\"]", "~ service web: accept acme -> none (cuts 0)"),
        (RULES, "", "~ service web: allow acme -> none; accept acme -> none (cuts 2)"),
        (
            RULES,
            "on_disallow = \"keep\"",
            "~ service web: allow acme -> none; accept acme -> none; on_disallow cut -> keep (cuts 0)",
        ),
        (
            RULES,
            "allow = [\"acme\"]\naccept = [\"acme\"]\non_reject = \"drop\"",
            "~ service web: on_reject reset -> drop (cuts 0)",
        ),
        ("weight = 50", "weight = 0", "~ target web 10.0.0.20: weight 50 -> 0 (cuts 0, drains 1)"),
        (
            "[[service.target]]\naddress = \"10.0.0.20\"\nweight = 50\n",
            "",
            "- target web 10.0.0.20:  (cuts 0, drains 1)",
        ),
        (
            "address = \"10.0.0.20\"\nweight = 50\n",
            "address = \"10.0.0.20\"\nweight = 50\n[[service.target]]\naddress = \"10.0.0.30\"\n",
            "+ target web 10.0.0.30: weight 100 (cuts 0)",
        ),
        (
            "addresses = [\"10.1.0.50\"]",
            "addresses = [\"10.1.0.51\"]",
            "~ endpoint acme-web: addresses 10.1.0.50 -> 10.1.0.51 (cuts 2)",
        ),
        // The address of the other family is no matter to a flow.
        (
            "\"fd00:1::50\"",
            "\"fd00:1::51\"",
            "~ endpoint globex-mail: addresses 10.1.0.50, fd00:1::50 -> 10.1.0.50, fd00:1::51 (cuts 0)",
        ),
        (
            "name = \"acme\"\nprincipal = \"acme\"",
            "name = \"acme\"\nprincipal = \"initech\"",
            "~ network acme: principal acme -> initech (cuts 2)",
        ),
        (
            "interface = \"veth-acme\"",
            "interface = \"absent\"",
            "~ network acme: on interface veth-acme -> interface absent (cuts 2)",
        ),
        (
            "protocol = \"udp\"\nport = 53",
            "protocol = \"udp\"\nport = 54",
            "- listener web udp/53:  (cuts 0)",
        ),
        (
            "name = \"gw-test\"",
            "name = \"gw-test\"\nmax_flows = 9",
            "~ gateway gw-test: (after a restart of the daemon) max_flows 1000000 -> 9 (cuts 0)",
        ),
    ] {
        let lines = with(part, other);
        assert!(lines.iter().any(|line| line == expected), "{expected:?} is not in {lines:#?}");
        let most = if expected.contains("listener") { 2 } else { 1 };
        assert!(lines.len() <= most, "{lines:#?}");
    }
}

#[test]
fn what_goes_with_its_service_is_told_once() {
    let text = before();
    let (rest, endpoint) =
        text.split_at(text.find("[[endpoint]]\nname = \"globex-mail\"").unwrap());
    assert!(endpoint.contains("mail"));
    let start = rest.find("[[service]]\nname = \"mail\"").unwrap();
    let end = rest.find("[[endpoint]]").unwrap();
    let without = format!("{}{}", &rest[..start], &rest[end..]);
    let difference = compare_with(&without);
    let expected = ["- service mail:  (cuts 0)", "- endpoint globex-mail:  (cuts 1)"];
    assert_eq!(lines(&difference), expected);
    assert_eq!(difference.flows_cut, 1);
    assert!(difference.entries > 0);
}
