//! From the text of one file to its raw contents.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    decode::Decode,
    diagnostic::{Fault, Report},
    source::Location,
    toml_value::TomlValue,
};

/// The first number without digits, such as `0x`: the parser accepts those.
fn without_digits(table: &DeTable<'_>) -> Option<Range<usize>> {
    let mut open: Vec<&Spanned<DeValue<'_>>> = table.values().collect();
    let mut found: Option<Range<usize>> = None;
    while let Some(value) = open.pop() {
        match value.get_ref() {
            DeValue::Integer(integer) if integer.as_str().is_empty() => {
                let is_first = found.as_ref().is_none_or(|found| value.span().start < found.start);
                found = if is_first { Some(value.span()) } else { found };
            }
            DeValue::Table(table) => open.extend(table.values()),
            DeValue::Array(list) => open.extend(list.iter()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    found
}

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
    if let Some(span) = without_digits(table.get_ref()) {
        let fault = Fault::new("not valid TOML: a number has no digits behind its prefix");
        report.push(fault.at(Location::new(file, span)).help("write the number"));
        return None;
    }
    let at = Location::new(file, table.span());
    let root = DeValue::Table(table.into_inner());
    T::decode(&TomlValue { key: "", at, value: &root }, report)
}
