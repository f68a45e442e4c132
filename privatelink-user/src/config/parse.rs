//! From the text of one file to its raw contents.

use toml::de::{DeTable, DeValue};

use super::{
    decode::Decode,
    diagnostic::{Fault, Report},
    source::Location,
    toml_value::TomlValue,
};

/// Decodes one file; `None` if it is not TOML.
pub(super) fn parse<T: Decode>(file: usize, text: &str, report: &mut Report) -> Option<T> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = Location::new(file, error.span().unwrap_or_default());
            report.push(Fault::new(format!("not valid TOML: {}", error.message())).at(at).help(
                "correct the syntax here; the contents are checked once the file is valid TOML",
            ));
        }
        return None;
    }
    let at = Location::new(file, table.span());
    let root = DeValue::Table(table.into_inner());
    T::decode(&TomlValue { key: "", at, value: &root }, report)
}
