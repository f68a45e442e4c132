//! Where a service is offered.

use crate::{
    config::{
        decode::{List, Table},
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{Listener, PortRange},
};

/// The listeners, no two of which offer the same port.
pub(super) fn validate(raw: List<raw::Listener>, report: &mut Report) -> Vec<Listener> {
    let listeners: Vec<_> = raw.into_iter().filter_map(|raw| listener(raw, report)).collect();
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
    listeners.into_iter().map(|(listener, _)| listener).collect()
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
        .help("let each port belong to one listener"),
    );
}

fn listener(raw: Located<raw::Listener>, report: &mut Report) -> Option<(Listener, Location)> {
    let Located { value: mut raw, at } = raw;
    let target = raw.target_port.take();
    let ports = ports(&raw, at, report);
    let target_ports = match (&ports, target) {
        (Some(ports), Some(target)) => matching(ports, target, report),
        (Some(ports), None) => Some(ports.value),
        (None, _) => None,
    };
    let protocol = raw.protocol?.value;
    let idle_timeout = match (raw.idle_timeout, protocol) {
        (Some(timeout), _) => timeout.value,
        (None, protocol) => Listener::default_idle_timeout(protocol),
    };
    let Located { value: ports, at } = ports?;
    Some((Listener { protocol, ports, target_ports: target_ports?, idle_timeout }, at))
}

/// The ports, however they are spelled.
fn ports(raw: &raw::Listener, at: Location, report: &mut Report) -> Option<Located<PortRange>> {
    let single = raw.port.as_ref().map(|port| Located { value: port.value.into(), at: port.at });
    match (single, raw.ports.clone()) {
        (Some(single), Some(range)) => report.push(
            Fault::new("a listener has `port` or `ports`, not both")
                .at(range.at)
                .related(single.at, "the other one")
                .help("keep `port` for one port, or `ports` for a range"),
        ),
        (None, None) if !raw.refused("port") && !raw.refused("ports") => report.push(
            Fault::new("[[service.listener]] has no `port`")
                .at(at)
                .help("add `port = 80`, or `ports = \"9092-9099\"` for a range"),
        ),
        // What is wrong with a value that was refused is in the report.
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => return Some(one),
    }
    None
}

fn matching(
    ports: &Located<PortRange>,
    target: Located<PortRange>,
    report: &mut Report,
) -> Option<PortRange> {
    if ports.value.len() == target.value.len() {
        return Some(target.value);
    }
    report.push(
        Fault::new(format!(
            "`target_port` names {} of the {} ports that the listener needs",
            target.value.len(),
            ports.value.len()
        ))
        .at(target.at)
        .related(ports.at, "these ports")
        .help("name as many target ports, or leave `target_port` out to keep the same ports"),
    );
    None
}
