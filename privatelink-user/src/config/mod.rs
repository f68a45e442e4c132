//! From the text of a configuration to a [`Model`](crate::model::Model), or to everything that is
//! wrong with it.
//!
//! ```text
//! files ─load─► text ─parse─► TOML values ─decode─► raw ─validate─► Model
//! ```
//!
//! Decoding looks at each value alone, and `validate` at how values fit together. Neither stops at
//! a fault: both add to one report, and a model exists only if the report stays empty.
//!
//! An object of the API is one more source, with the text that a file would have: what follows is
//! the same.
//!
//! `raw` declares every key with its type, its default and its meaning. Decoder, JSON schema and
//! the tables of `docs/configuration.md` come from there.

mod addition;
mod address;
mod confidential;
mod decode;
mod diagnostic;
mod doubtful;
pub mod host_claims;
mod load;
pub mod lockout;
mod objects;
mod origins;
pub mod own_targets;
mod parse;
mod pointer;
mod port_map;
mod raw;
mod reference;
mod refuse;
mod schema;
mod section;
mod source;
mod suggestion;
mod tag_table;
mod target_list;
mod toml_text;
mod toml_value;
mod types;
pub mod unsupported;
mod validate;
mod warning;
mod written;

#[cfg(test)]
mod tests;

pub use addition::{Addition, addition};
pub use diagnostic::Diagnostics;
pub use load::{
    DEFAULT_PATH, Loaded, files_of, from_text, from_texts, load, load_adopting, load_from,
    load_with, texts,
};
pub use objects::{faults_of, object_text};
pub use origins::{Origin, Origins};
pub use reference::{REFERENCE, ReferenceTable};
pub use schema::schema;
pub use source::{ObjectKind, Sources};
pub(crate) use suggestion::suggestion;
pub use target_list::target_list;
pub use toml_text::document;
pub use warning::{Warning, Warnings};
