//! What this release does not do yet, of what a configuration can say.
//!
//! Nothing is ignored in silence: what bears on who may reach what is refused, and of the rest
//! the daemon warns.

use crate::{
    config::{Diagnostics, Kind, Loaded},
    model::{Model, Name, Service, TargetAddress},
};

/// A key that is without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// What kind of thing it belongs to.
    pub kind: Kind,
    /// Which one.
    pub name: Name,
    /// The key.
    pub key: String,
    /// Whether the configuration cannot be applied.
    pub fatal: bool,
    /// What to do.
    pub help: &'static str,
}

impl Unsupported {
    /// What is wrong.
    pub fn message(&self) -> String {
        let word = self.kind.word();
        let (key, name) = (&self.key, &self.name);
        if self.fatal {
            format!("`{key}` of the {word} `{name}` is not in this release")
        } else {
            format!("`{key}` of the {word} `{name}` has no effect in this release")
        }
    }
}

/// Refuses a configuration that this release cannot carry out, and returns what to warn of.
///
/// # Errors
/// Everything that is refused.
pub fn review(loaded: &Loaded) -> Result<Vec<Unsupported>, Diagnostics> {
    let (refused, warned): (Vec<_>, Vec<_>) =
        unsupported(&loaded.model).into_iter().partition(|item| item.fatal);
    let refused = refused.into_iter().map(|item| {
        loaded.sources.refuse(item.kind, &item.name, &item.key, item.message(), item.help)
    });
    refused.reduce(Diagnostics::and).map_or(Ok(warned), Err)
}

/// Everything in a configuration that this release does not do.
pub fn unsupported(model: &Model) -> Vec<Unsupported> {
    let mut found = Vec::new();
    for service in model.services().values() {
        self::service(service, &mut found);
    }
    found
}

/// Collects what is found about one thing.
struct Finder<'a> {
    kind: Kind,
    name: &'a Name,
    found: &'a mut Vec<Unsupported>,
}

impl Finder<'_> {
    fn refuse(&mut self, given: bool, key: impl Into<String>, help: &'static str) {
        if given {
            let (kind, name, key) = (self.kind, self.name.clone(), key.into());
            self.found.push(Unsupported { kind, name, key, fatal: true, help });
        }
    }
}

fn service(service: &Service, found: &mut Vec<Unsupported>) {
    let mut finder = Finder { kind: Kind::Service, name: &service.name, found };
    for (number, target) in service.targets.iter().enumerate() {
        let named = matches!(target.address, TargetAddress::Dns(_));
        finder.refuse(named, format!("target.{number}.address"), "write the target's IP address");
    }
    let mut mapped = service.listeners.iter().filter_map(|listener| listener.target.as_ref());
    let named = mapped.any(|target| matches!(target, TargetAddress::Dns(_)));
    finder.refuse(named, "listener", "write the targets' IP addresses");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn find(text: &str) -> Vec<(String, bool)> {
        let model = config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
        unsupported(&model.model).into_iter().map(|item| (item.key, item.fatal)).collect()
    }

    const PARTS: &str = include_str!("desired/tests.toml");

    #[test]
    fn the_examples_are_supported() {
        assert_eq!(find(include_str!("../../examples/quickstart.toml")), []);
        assert_eq!(find(PARTS), []);
    }

    #[test]
    fn all_that_is_refused_is_shown_at_once() {
        let text = PARTS.replace(r#"address = "10.0.0.20""#, "address = \"db.internal\"");
        let refused = review(&config::from_text("test.toml", &text).unwrap()).unwrap_err();
        assert_eq!(refused.count(), 1);
        assert!(refused.render(false).contains("`target.1.address` of the service"), "{refused}");
    }

    #[test]
    fn what_bears_on_isolation_is_refused_and_the_rest_is_warned_of() {
        for (place, line, key, fatal) in
            [(r#"address = "10.0.0.20""#, "address = \"db.internal\"", "target.1.address", true)]
        {
            let text = PARTS.replace(place, line);
            assert_eq!(find(&text), [(key.to_owned(), fatal)], "{line}");
        }
    }
}
