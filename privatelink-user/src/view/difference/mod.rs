//! What another configuration would change, in words, and which live flows that ends.
//!
//! Two models are compared thing by thing; two contents of the maps tell which flows end. Pure:
//! nothing here reads a map or a file.

mod cut;
mod words;

use std::collections::BTreeMap;

use privatelink_common::flow::Flow;

use crate::{
    datapath::{plan::Plan, tables::MapTables},
    interface::types::{Action, Change, Difference},
    model::{Endpoint, Listener, Model, Name, Network, Principal, Service, Target},
    state::{State, targets::Inputs},
};
use cut::Cuts;
use words::Words;

/// A configuration with all that follows from it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What it means.
    pub model: &'a Model,
    /// What is kept of it.
    pub state: &'a State,
    /// What is known of targets.
    pub inputs: &'a Inputs,
    /// What the maps hold.
    pub tables: &'a MapTables,
}

/// Compares the configuration in force with another one, of which the `flows` know nothing yet.
pub fn between(before: Side<'_>, after: Side<'_>, flows: impl Iterator<Item = Flow>) -> Difference {
    let mut changes = changes(before.model, after.model);
    let mut cuts = Cuts::new(before, after);
    flows.for_each(|flow| cuts.count(&flow));
    for change in &mut changes {
        (change.flows_cut, change.flows_drained) = cuts.of(&change.kind, &change.name);
    }
    Difference {
        changes,
        flows_cut: cuts.total(),
        flows_drained: cuts.drained(),
        entries: u64::try_from(Plan::between(before.tables, after.tables).len())
            .unwrap_or(u64::MAX),
        warnings: Vec::new(),
    }
}

/// Every thing that differs; parts of a service stand behind it.
pub fn changes(before: &Model, after: &Model) -> Vec<Change> {
    let mut found = Vec::new();
    let gateway = words::gateway(before.gateway(), after.gateway());
    found.extend(changed("gateway", before.gateway().name.to_string(), gateway));
    compare(before.principals(), after.principals(), &mut found);
    compare(before.networks(), after.networks(), &mut found);
    compare(before.services(), after.services(), &mut found);
    compare(before.endpoints(), after.endpoints(), &mut found);
    found
}

/// Something that configurations declare under a key.
trait Thing {
    /// What it is.
    const KIND: &'static str;

    /// What it is like, where it is new.
    fn described(&self) -> Words;

    /// What is different in `after`.
    fn differs(&self, after: &Self) -> Words;

    /// Adds the differences of what it consists of; one side is absent if it is new or goes.
    fn parts(_name: &str, _before: Option<&Self>, _after: Option<&Self>, _: &mut Vec<Change>) {}
}

fn compare<K: Ord + ToString, T: Thing>(
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
    found: &mut Vec<Change>,
) {
    compare_named(ToString::to_string, before, after, found);
}

fn compare_named<K: Ord, T: Thing>(
    name: impl Fn(&K) -> String,
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
    found: &mut Vec<Change>,
) {
    for (key, old) in before {
        let name = name(key);
        match after.get(key) {
            Some(new) => found.extend(changed(T::KIND, name.clone(), old.differs(new))),
            None => found.push(change(Action::Removed, T::KIND, name.clone(), Words::default())),
        }
        T::parts(&name, Some(old), after.get(key), found);
    }
    for (key, new) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
        let name = name(key);
        found.push(change(Action::Added, T::KIND, name.clone(), new.described()));
        T::parts(&name, None, Some(new), found);
    }
}

fn changed(kind: &str, name: String, what: Words) -> Option<Change> {
    (!what.is_empty()).then(|| change(Action::Changed, kind, name, what))
}

fn change(action: Action, kind: &str, name: String, what: Words) -> Change {
    Change {
        action,
        kind: kind.to_owned(),
        name,
        what: what.into_lines(),
        flows_cut: 0,
        flows_drained: 0,
    }
}

impl Thing for Principal {
    const KIND: &'static str = "principal";

    fn described(&self) -> Words {
        words::principal(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::principal(Some(self), after)
    }
}

impl Thing for Network {
    const KIND: &'static str = "network";

    fn described(&self) -> Words {
        words::network(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::network(Some(self), after)
    }
}

impl Thing for Service {
    const KIND: &'static str = "service";

    fn described(&self) -> Words {
        words::service(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::service(Some(self), after)
    }

    fn parts(name: &str, before: Option<&Self>, after: Option<&Self>, found: &mut Vec<Change>) {
        // What a service that is new or goes consists of goes without saying.
        let (Some(before), Some(after)) = (before, after) else { return };
        let behind = |part: &String| format!("{name} {part}");
        compare_named(behind, &listeners(before), &listeners(after), found);
        compare_named(behind, &targets(before), &targets(after), found);
    }
}

impl Thing for Listener {
    const KIND: &'static str = "listener";

    fn described(&self) -> Words {
        words::listener(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::listener(Some(self), after)
    }
}

impl Thing for Target {
    const KIND: &'static str = "target";

    fn described(&self) -> Words {
        words::target(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::target(Some(self), after)
    }
}

impl Thing for Endpoint {
    const KIND: &'static str = "endpoint";

    fn described(&self) -> Words {
        words::endpoint(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::endpoint(Some(self), after)
    }
}

fn listeners(service: &Service) -> BTreeMap<String, Listener> {
    let keyed = |listener: &Listener| {
        (format!("{}/{}", listener.protocol, listener.ports), listener.clone())
    };
    service.listeners.iter().map(keyed).collect()
}

fn targets(service: &Service) -> BTreeMap<String, Target> {
    service.targets.iter().map(|target| (target.address.to_string(), target.clone())).collect()
}

/// The name of a service's target among the changes.
fn target_name(service: &Name, address: impl std::fmt::Display) -> String {
    format!("{service} {address}")
}

#[cfg(test)]
mod tests;
