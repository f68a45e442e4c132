//! The objects that others can refer to by name.

use std::collections::BTreeMap;

use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        raw,
        source::{Located, ObjectKind},
        suggestion::suggestion,
    },
    model::{Backbone, Name, Network},
};

/// What services and endpoints can refer to.
pub(super) struct Scope {
    pub networks: DefinedNames,
    pub services: DefinedNames,
    /// The networks without faults of their own.
    pub attached: BTreeMap<Name, Network>,
    /// The links to other sites, without faults of their own.
    pub backbone: Option<Backbone>,
}

/// The names of all objects of one kind.
pub(super) struct DefinedNames {
    kind: ObjectKind,
    names: Vec<Name>,
}

impl DefinedNames {
    pub fn of<T>(kind: ObjectKind, parts: &BTreeMap<Name, T>) -> Self {
        Self { kind, names: parts.keys().cloned().collect() }
    }

    /// Defines further names, which come from another kind of object.
    pub fn add(&mut self, names: impl IntoIterator<Item = Name>) {
        self.names.extend(names);
        self.names.sort();
    }

    /// The name, if an object has it; otherwise it is reported.
    pub fn resolve(&self, name: Located<Name>, report: &mut Report) -> Option<Name> {
        if self.names.binary_search(&name.value).is_ok() {
            return Some(name.value);
        }
        if let Some((site, service)) = name.value.site_and_service() {
            let known = self.names.iter().map(Name::as_str);
            report.push(
                Fault::new(format!("no [[site]] `{site}` has a service `{service}`"))
                    .at(name.at)
                    .help(suggestion(name.value.as_str(), known).unwrap_or_else(|| {
                        format!(
                            "add `[[site.service]]` with `name = \"{service}\"` to the [[site]] \
                             `{site}`"
                        )
                    })),
            );
            return None;
        }
        let word = self.kind.word();
        let known = self.names.iter().map(Name::as_str);
        report.push(
            Fault::new(format!("there is no {word} `{}`", name.value))
                .at(name.at)
                .label("not defined in any file")
                .help(suggestion(name.value.as_str(), known).unwrap_or_else(|| {
                    format!("define it with [[{word}]], or use one that exists")
                })),
        );
        None
    }
}

/// A raw object that has a name.
pub(super) trait Named {
    const KIND: ObjectKind;
    fn name(&self) -> Option<&Located<Name>>;
}

macro_rules! named {
    ($($type:ident)*) => {$(
        impl Named for raw::$type {
            const KIND: ObjectKind = ObjectKind::$type;
            fn name(&self) -> Option<&Located<Name>> {
                self.name.as_ref()
            }
        }
    )*};
}
named! { Site Principal Network Service Endpoint }

/// Orders objects by name, keeps the first of each name, and reports the others.
pub(super) fn unique<T: Named>(parts: List<T>, report: &mut Report) -> BTreeMap<Name, Located<T>> {
    let mut unique: BTreeMap<Name, Located<T>> = BTreeMap::new();
    for part in parts {
        // A name that is missing or refused has been reported.
        let Some(name) = part.value.name().cloned() else { continue };
        let Some(first) = unique.get(&name.value) else {
            unique.insert(name.value, part);
            continue;
        };
        let first = first.value.name().map_or(first.at, |name| name.at);
        report.push(
            Fault::new(format!("the {} `{}` is defined twice", T::KIND.word(), name.value))
                .at(name.at)
                .label("defined again here")
                .related(first, "first defined here")
                .help("rename or remove one of the two"),
        );
    }
    unique
}
