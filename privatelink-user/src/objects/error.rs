//! Why a request writes nothing.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    access::Denied,
    state::objects::{ObjectName, Objects},
};

/// Why objects are not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no such object, or it is another principal's.
    #[error("there is no {} `{}`; see `privatelink {}s`", .0.kind.word(), .0.name, .0.kind.word())]
    Unknown(ObjectName),
    /// A service has no such target.
    #[error(
        "the service `{service}` has no target `{address}`; see `privatelink targets {service}`"
    )]
    UnknownTarget {
        /// The service.
        service: String,
        /// The address that none of its targets has.
        address: String,
    },
    /// It is a file's.
    #[error(
        "{object} is declared in {place}: change it there, or remove it there and write it here"
    )]
    OwnedByFile {
        /// The object.
        object: ObjectName,
        /// File and line.
        place: String,
    },
    /// The name is another principal's.
    #[error("the name of {0} is taken: choose another one")]
    Taken(ObjectName),
    /// Endpoints lead to the service.
    #[error(
        "endpoints lead to {service}: {}; they must be deleted first, and rejecting their \
         connections stops them at once",
        endpoints.join(", ")
    )]
    InUse {
        /// The service.
        service: ObjectName,
        /// Their names.
        endpoints: Vec<String>,
    },
    /// It is not in the state that the request demands.
    #[error("{0} is not as the request expects: get it again, and decide anew")]
    Precondition(ObjectName),
    /// The caller has no right to it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// What was written is faulty.
    #[error("{}", faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
    Faulty {
        /// What is wrong with it.
        faults: Vec<Fault>,
        /// What was written, for a look at each object alone.
        written: Objects,
    },
}

/// One fault of an object, found before it is lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object.
    pub object: ObjectName,
    /// Where in it.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: {}; {}", self.object.place(), self.message, self.help)
    }
}

impl Fault {
    /// In the shape of a configuration's faults.
    pub fn to_json(&self) -> Value {
        json!({
            "message": self.message,
            "help": self.help,
            "file": self.object.place(),
            "pointer": self.pointer,
        })
    }
}
