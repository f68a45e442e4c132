//! Listeners: the ports on which a service is offered.

use std::collections::BTreeMap;

use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        port_map::MappedPorts,
        raw,
        section::Section,
        source::{Located, Location},
    },
    model::{IdleTimeout, Listener, PortRange, Protocol, TargetAddress},
};

/// The listeners, no two of which offer the same port, and the targets that they name.
pub(super) fn validate(
    raw: List<raw::Listener>,
    report: &mut Report,
) -> (Vec<Listener>, List<TargetAddress>) {
    let mut named = List::new();
    let listeners = raw.into_iter().flat_map(|raw| match raw.value.map {
        Some(_) => mapped(raw, &mut named, report),
        None => listener(raw, report).into_iter().collect(),
    });
    let listeners: Vec<_> = listeners.collect();
    // Sorted by first port, a listener can only overlap with the one that reaches furthest.
    let mut sorted: Vec<_> = listeners.iter().collect();
    sorted.sort_by_key(|(listener, at)| (listener.protocol, listener.ports, *at));
    let mut furthest: Option<&(Listener, Location)> = None;
    for next in sorted {
        if let Some(earlier) = furthest
            && earlier.0.protocol == next.0.protocol
        {
            if earlier.0.ports.overlaps(next.0.ports) {
                overlap(earlier, next, report);
            }
            if earlier.0.ports.last() >= next.0.ports.last() {
                continue;
            }
        }
        furthest = Some(next);
    }
    (listeners.into_iter().map(|(listener, _)| listener).collect(), named)
}

fn overlap(a: &(Listener, Location), b: &(Listener, Location), report: &mut Report) {
    let (first, later) = if a.1 <= b.1 { (a, b) } else { (b, a) };
    report.push(
        Fault::new(format!(
            "the listeners on {} {} and {} overlap",
            later.0.protocol, first.0.ports, later.0.ports
        ))
        .at(later.1)
        .related(first.1, "the other listener")
        .help("give each port to one listener only"),
    );
}

fn listener(raw: Located<raw::Listener>, report: &mut Report) -> Option<(Listener, Location)> {
    let Located { value: mut raw, at } = raw;
    let target = raw.target_port.take();
    let ports = ports(&raw, at, report);
    let target_ports = match (&ports, target) {
        (Some(ports), Some(target)) => matching("`target_port`", ports, target, report),
        (Some(ports), None) => Some(ports.value),
        (None, _) => None,
    };
    let (protocol, idle_timeout) = protocol_and_timeout(&raw)?;
    let Located { value: ports, at } = ports?;
    let target_ports = target_ports?;
    let groups = raw.group.map_or_else(List::new, |groups| groups.value.0);
    let groups = groups.into_iter().map(|group| group.value).collect();
    let target = None;
    Some((Listener { protocol, ports, target_ports, target, groups, idle_timeout }, at))
}

/// The protocol and the idle timeout.
fn protocol_and_timeout(raw: &raw::Listener) -> Option<(Protocol, IdleTimeout)> {
    let protocol = raw.protocol.as_ref()?.value;
    let idle_timeout = raw.idle_timeout.as_ref().map(|timeout| timeout.value);
    Some((protocol, idle_timeout.unwrap_or(Listener::default_idle_timeout(protocol))))
}

/// A listener for each part of a map, and the targets that it names.
fn mapped(
    raw: Located<raw::Listener>,
    named: &mut List<TargetAddress>,
    report: &mut Report,
) -> Vec<(Listener, Location)> {
    let mut raw = raw.value;
    let location = |given: Option<Location>, key| given.map(|at| (key, at));
    let others = [
        location(raw.port.as_ref().map(|port| port.at), "port"),
        location(raw.ports.as_ref().map(|ports| ports.at), "ports"),
        location(raw.target_port.as_ref().map(|port| port.at), "target_port"),
        location(raw.group.as_ref().map(|group| group.at), "group"),
    ];
    let Some(map) = raw.map.take() else { return Vec::new() };
    for (key, at) in others.into_iter().flatten() {
        report.push(
            Fault::new(format!("a listener with a `map` has no `{key}`"))
                .at(at)
                .related(map.at, "the ports are here")
                .help(format!("remove `{key}`, or make it a listener of its own")),
        );
    }
    let mut listeners = Vec::new();
    for Located { value: MappedPorts { ports, target, target_ports }, at } in map.value.0 {
        let written = Located { value: ports, at };
        let target_ports = match target_ports {
            Some(value) => {
                matching("the target", &written, Located { value, at: target.at }, report)
            }
            None => Some(ports),
        };
        named.push(target.clone());
        let (Some(target_ports), Some((protocol, idle_timeout))) =
            (target_ports, protocol_and_timeout(&raw))
        else {
            continue;
        };
        let target = Some(target.value);
        let groups = BTreeMap::new();
        let listener = Listener { protocol, ports, target_ports, target, groups, idle_timeout };
        listeners.push((listener, at));
    }
    listeners
}

/// The ports of `port` or `ports`.
fn ports(raw: &raw::Listener, at: Location, report: &mut Report) -> Option<Located<PortRange>> {
    let single = raw.port.as_ref().map(|port| Located { value: port.value.into(), at: port.at });
    match (single, raw.ports.clone()) {
        (Some(single), Some(range)) => report.push(
            Fault::new("a listener has `port` or `ports`, not both")
                .at(range.at)
                .related(single.at, "the other one")
                .help("keep `port` for one port, or `ports` for a range"),
        ),
        (None, None) if !["port", "ports", "map"].iter().any(|key| raw.refused(key)) => report
            .push(Fault::new("[[service.listener]] has no `port`").at(at).help(
                "add `port = 80`, `ports = \"9092-9099\"` for a range, or a `map` of ports to \
                     targets",
            )),
        // A value that was refused has been reported.
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => return Some(one),
    }
    None
}

fn matching(
    what: &str,
    ports: &Located<PortRange>,
    target: Located<PortRange>,
    report: &mut Report,
) -> Option<PortRange> {
    if ports.value.len() == target.value.len() {
        return Some(target.value);
    }
    report.push(
        Fault::new(format!(
            "{what} names {}, but the listener has {}",
            count(target.value),
            ports.value.len()
        ))
        .at(target.at)
        .related(ports.at, "these ports")
        .help("use as many target ports, or leave them out to use the same ports"),
    );
    None
}

/// How many ports a range has, in words.
fn count(ports: PortRange) -> String {
    match ports.len() {
        1 => "1 port".to_owned(),
        more => format!("{more} ports"),
    }
}
