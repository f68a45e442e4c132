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
//! `raw` declares every key with its type, its default and its meaning. Decoder, JSON schema and
//! the tables of `docs/configuration.md` come from there.

mod address;
mod decode;
mod diagnostic;
mod load;
pub mod lockout;
pub mod own_targets;
mod parse;
mod port_map;
mod raw;
mod reference;
mod refuse;
mod schema;
mod section;
mod source;
mod suggestion;
mod target_list;
mod toml_value;
mod types;
pub mod unsupported;
mod validate;
mod warning;
mod written;

#[cfg(test)]
mod tests;

pub use diagnostic::Diagnostics;
pub use load::{DEFAULT_PATH, Loaded, from_text, from_texts, load, texts};
pub use reference::{REFERENCE, ReferenceTable};
pub use schema::schema;
pub use source::{ObjectKind, Sources};
pub(crate) use suggestion::suggestion;
pub use target_list::target_list;
pub use warning::Warning;
