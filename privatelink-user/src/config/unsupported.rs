//! What a configuration can ask for but this release does not do yet.
//!
//! No key is ignored silently: one that decides who may reach what is refused, and the daemon
//! warns about the others.

use std::collections::BTreeSet;

use super::{
    diagnostic::Diagnostics, doubtful, load::Loaded, source::ObjectKind, warning::Warning,
};
use crate::model::{Model, Name, Protocol, Service};

/// A key that cannot do what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The kind of the object that it belongs to.
    pub kind: ObjectKind,
    /// The name of that object.
    pub name: Name,
    /// The key, as a path such as `health_check.port`.
    pub key: String,
    /// What is not supported.
    pub what: &'static str,
    /// Whether the configuration is refused; otherwise the daemon warns.
    pub fatal: bool,
    /// What the operator can do instead.
    pub help: &'static str,
}

impl Unsupported {
    /// Names the object and what is not supported.
    pub fn message(&self) -> String {
        format!("the {} `{}`: {}", self.kind.word(), self.name, self.said())
    }

    fn said(&self) -> String {
        format!("{} in this release", self.what)
    }
}

/// Refuses a configuration that this release does not support, and returns the warnings about one
/// that it does.
///
/// # Errors
/// Every key that is refused.
pub fn review(loaded: &Loaded) -> Result<Vec<Warning>, Diagnostics> {
    let (refused, warned): (Vec<_>, Vec<_>) =
        unsupported(&loaded.model).into_iter().partition(|item| item.fatal);
    let refused = refused.into_iter().map(|item| {
        loaded.sources.refuse(item.kind, &item.name, &item.key, item.message(), item.help)
    });
    let warned = warned
        .into_iter()
        .map(|item| Warning::of((item.kind, &item.name, "name"), item.said(), item.help));
    let warned = warned.chain(doubtful::warnings(&loaded.model)).collect();
    refused.reduce(Diagnostics::and).map_or(Ok(warned), Err)
}

/// Everything in a configuration that this release does not do.
pub fn unsupported(model: &Model) -> Vec<Unsupported> {
    let services = model.services().values();
    let unchecked = services.filter(|service| has_unchecked_port(service));
    let refuse = |service: &Service| Unsupported {
        kind: ObjectKind::Service,
        name: service.name.clone(),
        key: "health_check".to_owned(),
        what: "UDP ports cannot be checked",
        fatal: true,
        help: "set `port` to one where the targets answer over TCP",
    };
    unchecked.map(refuse).collect()
}

/// Whether a check would connect over TCP to a port that the target serves over UDP only.
fn has_unchecked_port(service: &Service) -> bool {
    let ports = |protocol| -> BTreeSet<_> {
        let of_protocol = service.listeners.iter().filter(move |one| one.protocol == protocol);
        of_protocol.map(|listener| listener.target_ports.first()).collect()
    };
    let asks_each = service.health_check.as_ref().is_some_and(|check| check.port.is_none());
    asks_each && !ports(Protocol::Udp).is_subset(&ports(Protocol::Tcp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn find(text: &str) -> Vec<(String, bool)> {
        let model = config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
        unsupported(&model.model).into_iter().map(|item| (item.key, item.fatal)).collect()
    }

    const PARTS: &str = include_str!("../desired/tests.toml");

    #[test]
    fn the_examples_are_supported() {
        assert_eq!(find(include_str!("../../../examples/quickstart.toml")), []);
        assert_eq!(find(PARTS), []);
    }

    #[test]
    fn a_check_of_udp_needs_a_port_that_answers_over_tcp() {
        let check = |keys| {
            let table = format!("health_check = {{ protocol = \"tcp\"{keys} }}");
            PARTS.replace("# rules", &table)
        };
        assert_eq!(find(&check("")), [("health_check".to_owned(), true)]);
        assert_eq!(find(&check(", port = 80")), []);
        assert_eq!(find(&check("").replace("port = 53", "port = 80")), []);
        let refused = review(&config::from_text("test.toml", &check("")).unwrap()).unwrap_err();
        let text = refused.render(false);
        assert!(text.contains("the service `web`: UDP ports cannot be checked"), "{text}");
    }
}
