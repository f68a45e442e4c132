//! Listeners and the targets that they lead to: groups, and ports of targets.

use std::collections::BTreeSet;

use crate::{
    config::{
        decode::OneOrMore,
        diagnostic::{Fault, Report},
        raw,
        source::Located,
        suggestion::suggestion,
    },
    model::{Name, PortRange},
};

/// Reports groups without targets, and targets whose port cannot stand for a listener's.
///
/// With `others`, more targets come from elsewhere, which may have any group.
pub(super) fn check(
    listeners: &OneOrMore<raw::Listener>,
    targets: &[Located<raw::Target>],
    others: bool,
    report: &mut Report,
) {
    let groups = targets.iter().filter_map(|target| target.value.group.as_ref());
    let groups: BTreeSet<&Name> = groups.map(|group| &group.value).collect();
    for listener in &listeners.0 {
        for group in listener.value.group.iter().flat_map(|groups| &groups.value.0) {
            let name = &group.value.0;
            if !others && !groups.contains(name) {
                let help = suggestion(name.as_str(), groups.iter().map(|one| one.as_str()));
                let add = || format!("add `group = \"{name}\"` to a [[service.target]]");
                report.push(
                    Fault::new(format!("no target is in the group `{name}`"))
                        .at(group.at)
                        .help(help.unwrap_or_else(add)),
                );
            }
        }
        range(&listener.value, targets, report);
        mapped(&listener.value, targets, report);
    }
}

/// A target with a port cannot stand for a listener of several.
fn range(listener: &raw::Listener, targets: &[Located<raw::Target>], report: &mut Report) {
    let Some(ports) = listener.ports.as_ref().filter(|ports| ports.value.len() > 1) else { return };
    let leads_to = |target: &raw::Target| {
        let group = target.group.as_ref().map(|group| &group.value);
        listener
            .group
            .as_ref()
            .is_none_or(|groups| groups.value.0.iter().any(|one| Some(&one.value.0) == group))
    };
    for target in targets.iter().filter(|target| leads_to(&target.value)) {
        if let Some(port) = &target.value.port {
            report.push(
                Fault::new(format!(
                    "a target has one port, but the listener on {} leads to it",
                    shown(ports.value)
                ))
                .at(port.at)
                .related(ports.at, "this listener")
                .help("remove `port`, or give the listener a `group` without this target"),
            );
        }
    }
}

fn shown(ports: PortRange) -> String {
    format!("{ports}, which are {}", ports.len())
}

/// A map says the port itself.
fn mapped(listener: &raw::Listener, targets: &[Located<raw::Target>], report: &mut Report) {
    for part in listener.map.iter().flat_map(|map| &map.value.0) {
        let is_it = |target: &&raw::Target| {
            let address = target.address.as_ref().map(|address| &address.value);
            address == Some(&part.value.target.value)
        };
        let found = targets.iter().map(|target| &target.value).find(is_it);
        if let Some(port) = found.and_then(|target| target.port.as_ref()) {
            report.push(
                Fault::new("a target that a `map` leads to has a `port`")
                    .at(port.at)
                    .related(part.at, "the map")
                    .help("remove `port`: the map says which one"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config;

    const PARTS: &str = include_str!("../../desired/tests.toml");

    fn faults(listener: &str, target: &str) -> String {
        let text = PARTS
            .replacen("port = 80", listener, 1)
            .replacen("weight = 100", target, 1)
            .replacen("weight = 50", "group = \"green\"", 1);
        match config::from_text("t.toml", &text) {
            Ok(_) => String::new(),
            Err(faults) => faults.brief(),
        }
    }

    #[test]
    fn groups_have_targets_and_targets_with_a_port_have_one() {
        let port = "port = 8080\ngroup = \"blue\"";
        assert_eq!(faults("port = 80\ngroup = { blue = 9, green = 1 }", port), "");
        assert_eq!(faults("ports = \"80-81\"\ngroup = \"green\"", port), "");
        for (listener, target, said) in [
            (
                "port = 80\ngroup = \"greem\"",
                port,
                "no target is in the group `greem`; did you mean",
            ),
            ("port = 80\ngroup = \"x\"", "", "no target is in the group `x`"),
            ("port = 80\ngroup = {}", port, "`group` leads to no group"),
            ("port = 80\ngroup = { blue = 0 }", port, "`group` leads to no group"),
            ("ports = \"80-81\"", port, "a target has one port, but the listener on 80-81"),
            (
                "map = { 80 = \"10.0.0.10:90\" }",
                port,
                "a target that a `map` leads to has a `port`",
            ),
            (
                "map = { 80 = \"10.0.0.10\" }\ngroup = \"blue\"",
                "",
                "a listener with a `map` has no",
            ),
        ] {
            let found = faults(listener, target);
            assert!(found.contains(said), "{listener} {target}: {found}");
        }
    }
}
