//! From the text of a configuration to a [`Model`], or to everything that is wrong with it.
//!
//! ```text
//! files ─source─► text ─toml─► tables ─decode─► raw ─validate─► Model
//! ```
//!
//! `decode` looks at each value alone and `validate` at how they fit together. Neither stops at
//! a fault: both add to one report, and a model exists only if the report stays empty.

mod address;
mod decode;
mod diagnostic;
mod port_map;
mod raw;
mod schema;
mod source;
mod suggestion;
mod target_list;
pub mod unsupported;
mod validate;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

pub use diagnostic::Diagnostics;
pub use schema::schema;
pub use source::{Kind, Sources};
pub(crate) use suggestion::suggestion;
pub use target_list::target_list;

use crate::model::Model;
use decode::{Decode, Entry};
use diagnostic::{Fault, Report};
use raw::Document;
use source::{Location, SourceFile};

/// Where the configuration is unless the command line says otherwise: a directory of files.
pub const DEFAULT_PATH: &str = "/etc/privatelink";

/// A configuration without faults, and the text that it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the configuration means.
    pub model: Model,
    /// Where it says so.
    pub sources: Sources,
}

/// Reads and validates a file, or all `*.toml` of a directory in the order of their names.
///
/// # Errors
///
/// Everything that is wrong, across all files.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let mut report = Report::default();
    let sources = source::read(path, &mut report);
    interpret(sources, report)
}

/// Validates text that is shown as the file `path` in diagnostics.
///
/// # Errors
///
/// Everything that is wrong.
pub fn from_text(path: &str, text: &str) -> Result<Loaded, Diagnostics> {
    let file = SourceFile { path: path.into(), text: text.into() };
    interpret(Sources { files: [file].into() }, Report::default())
}

/// Validates texts as the files of one configuration, in this order.
///
/// # Errors
///
/// Everything that is wrong.
pub fn from_texts(
    files: impl IntoIterator<Item = (PathBuf, String)>,
) -> Result<Loaded, Diagnostics> {
    let files = files.into_iter().map(|(path, text)| SourceFile { path, text }).collect();
    interpret(Sources { files }, Report::default())
}

/// Reads the files of a configuration, without a look at what they say.
///
/// # Errors
///
/// Those that cannot be read.
pub fn texts(path: &Path) -> Result<Sources, Diagnostics> {
    let mut report = Report::default();
    let sources = source::read(path, &mut report);
    if report.is_empty() { Ok(sources) } else { Err(Diagnostics::new(report, sources)) }
}

fn interpret(sources: Sources, mut report: Report) -> Result<Loaded, Diagnostics> {
    // What a file that cannot be read would have defined is unknown. Complaining about
    // references to it would bury the one fault that matters.
    let mut whole = report.is_empty();
    let mut documents = Vec::new();
    for (number, file) in sources.files.iter().enumerate() {
        match parse::<Document>(number, &file.text, &mut report) {
            Some(document) => documents.push(document),
            None => whole = false,
        }
    }
    let model = if whole { validate::model(documents, &mut report) } else { None };
    match model {
        Some(model) if report.is_empty() => Ok(Loaded { model, sources }),
        _ => Err(Diagnostics::new(report, sources)),
    }
}

/// Reads one file; `None` if it is not TOML.
fn parse<T: Decode>(file: usize, text: &str, report: &mut Report) -> Option<T> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = Location::new(file, error.span().unwrap_or_default());
            report.push(
                Fault::new(format!("not valid TOML: {}", error.message())).at(at).help(
                    "correct the text here; what it means is looked at once the file is TOML",
                ),
            );
        }
        return None;
    }
    let at = Location::new(file, table.span());
    let root = DeValue::Table(table.into_inner());
    T::decode(&Entry { key: "", at, value: &root }, report)
}
