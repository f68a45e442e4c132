//! The objects that the API has made: services and endpoints, as they were written.
//!
//! An object is kept in the shape of its table in a configuration file. What it means is decided
//! each time it is lowered, by the same code that reads files: nothing here interprets it.

mod replies;

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::connection::Author;
use crate::{model::Name, timestamp::Timestamp};

pub use replies::{Replies, ReplyKey, StoredReply, remember};

/// Every object of the API. Copies share the contents: each write makes some.
pub type Objects = BTreeMap<ObjectName, Arc<Object>>;

/// What an object is written as: the keys of its table.
pub type Content = Map<String, Value>;

/// The kinds of objects that the API makes. Everything else is the operator's, in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `[[service]]`
    Service,
    /// `[[endpoint]]`
    Endpoint,
}

impl Kind {
    /// Both, in the order of a file.
    pub const ALL: [Self; 2] = [Self::Service, Self::Endpoint];

    /// The word for it in files, paths and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The name of an object. Names of services and of endpoints do not exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// What it is.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub name: Name,
}

impl ObjectName {
    /// What messages show as its file: `api:service/web`.
    pub fn place(&self) -> String {
        format!("api:{}/{}", self.kind.word(), self.name)
    }
}

/// As messages name it: ``the service `web` ``.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} `{}`", self.kind.word(), self.name)
    }
}

/// An object as it was last written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The principal that it speaks for; `None` is the operator, who may declare everything.
    pub authority: Option<Name>,
    /// Who wrote it.
    pub by: Author,
    /// When.
    pub at: Timestamp,
    /// What was written.
    pub content: Content,
}

impl Object {
    /// Tells two contents apart. It is compared only with what this release has computed.
    pub fn tag(&self) -> String {
        tag(&self.content)
    }
}

/// Tells two contents apart: the `ETag` of an object.
pub fn tag(content: &Content) -> String {
    let mut hasher = DefaultHasher::new();
    Value::Object(content.clone()).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_follows_the_content_and_not_its_order() {
        let content = |value: Value| value.as_object().cloned().unwrap();
        let one = content(json!({ "name": "a", "weight": 1 }));
        assert_eq!(tag(&one), tag(&content(json!({ "weight": 1, "name": "a" }))));
        assert_ne!(tag(&one), tag(&content(json!({ "weight": 2, "name": "a" }))));
        assert_eq!(tag(&one).len(), 16);
    }

    #[test]
    fn services_come_before_endpoints_as_in_a_file() {
        let name = |kind, name: &str| ObjectName { kind, name: name.parse().unwrap() };
        assert!(name(Kind::Service, "z") < name(Kind::Endpoint, "a"));
        assert_eq!(name(Kind::Endpoint, "a").place(), "api:endpoint/a");
    }
}
