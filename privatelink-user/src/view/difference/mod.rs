//! What another configuration would change, in words, and which live flows that cuts.
//!
//! Two models are compared object by object; two contents of the maps show which flows end.
//! Nothing here reads a map or a file.

mod cut;
mod side;
mod words;

use std::collections::BTreeMap;

use privatelink_common::flow::Flow;

use crate::{
    datapath::plan::Plan,
    interface::types::{Action, Change, Difference},
    model::{Endpoint, Listener, Model, Network, Principal, Service, Target},
};
use cut::Cuts;
use words::Words;

pub use side::Side;

/// Compares the configuration in force with another one, which has not been applied to `flows`.
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

/// The objects that differ; listeners and targets follow their service.
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

/// The line for an endpoint that the API adds.
pub fn of_added(endpoint: &Endpoint) -> Change {
    let name = endpoint.name.to_string();
    Change {
        source: Some("api".to_owned()),
        ..change(Action::Added, Endpoint::KIND, name, endpoint.described())
    }
}

/// An object of the configuration that has a name.
trait Object {
    /// The kind, as changes name it.
    const KIND: &'static str;

    /// The keys that say most about a new object.
    fn described(&self) -> Words;

    /// The keys that differ in `after`.
    fn differs(&self, after: &Self) -> Words;

    /// Adds the differences of the objects in it; one side is absent if it is added or removed.
    fn parts(_name: &str, _before: Option<&Self>, _after: Option<&Self>, _: &mut Vec<Change>) {}
}

fn compare<K: Ord + ToString, T: Object>(
    before: &BTreeMap<K, T>,
    after: &BTreeMap<K, T>,
    found: &mut Vec<Change>,
) {
    compare_named(ToString::to_string, before, after, found);
}

fn compare_named<K: Ord, T: Object>(
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
        source: None,
    }
}

impl Object for Principal {
    const KIND: &'static str = "principal";

    fn described(&self) -> Words {
        words::principal(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::principal(Some(self), after)
    }
}

impl Object for Network {
    const KIND: &'static str = "network";

    fn described(&self) -> Words {
        words::network(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::network(Some(self), after)
    }
}

impl Object for Service {
    const KIND: &'static str = "service";

    fn described(&self) -> Words {
        words::service(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::service(Some(self), after)
    }

    fn parts(name: &str, before: Option<&Self>, after: Option<&Self>, found: &mut Vec<Change>) {
        // For a service that is added or removed, its listeners and targets need no lines.
        let (Some(before), Some(after)) = (before, after) else { return };
        let behind = |part: &String| format!("{name} {part}");
        compare_named(behind, &listeners(before), &listeners(after), found);
        compare_named(behind, &targets(before), &targets(after), found);
    }
}

impl Object for Listener {
    const KIND: &'static str = "listener";

    fn described(&self) -> Words {
        words::listener(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::listener(Some(self), after)
    }
}

impl Object for Target {
    const KIND: &'static str = "target";

    fn described(&self) -> Words {
        words::target(None, self)
    }

    fn differs(&self, after: &Self) -> Words {
        words::target(Some(self), after)
    }
}

impl Object for Endpoint {
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

#[cfg(test)]
mod tests;
