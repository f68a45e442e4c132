//! From the text of one file to its raw contents.

use std::{net::IpAddr, ops::Range};

use ipnet::IpNet;
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
        let mut explained = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or_default();
            // One mistake makes several errors in its line, the first of which is explained.
            if let Some(line) = line_of(text, span.start)
                && explained.contains(&line)
            {
                continue;
            }
            report.push(match unquoted(text, span.start) {
                Some(value) => {
                    explained.extend(line_of(text, span.start));
                    let written = text.get(value.clone()).unwrap_or_default();
                    Fault::new(format!("`{written}` is not in quotes"))
                        .at(Location::new(file, value))
                        .help(format!("put it in quotes: \"{written}\""))
                }
                None => {
                    explained.extend(line_of(text, span.start));
                    syntax(file, text, error.message(), span)
                }
            });
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

/// What the parser says, and where a key was written before that must not be there twice.
fn syntax(file: usize, text: &str, message: &str, span: Range<usize>) -> Fault {
    let at = Location::new(file, span.clone());
    if message == "duplicate key" {
        let key = text.get(span.clone()).unwrap_or_default().trim();
        let fault = Fault::new(format!("`{key}` is written twice")).at(at);
        let fault = fault.label("again here").help("remove one of the two");
        return match earlier(text, key, span.start) {
            Some(first) => fault.related(Location::new(file, first), "first written here"),
            None => fault,
        };
    }
    let help = "correct the syntax here; the contents are checked once the file is valid TOML";
    Fault::new(format!("not valid TOML: {message}")).at(at).help(help)
}

/// Where the line that holds an offset begins.
fn line_of(text: &str, offset: usize) -> Option<usize> {
    Some(text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1))
}

/// The value in the line of an error that would be fine in quotes.
fn unquoted(text: &str, offset: usize) -> Option<Range<usize>> {
    let begin = line_of(text, offset)?;
    let line = text.get(begin..)?.lines().next()?;
    let (key, rest) = line.split_once('=')?;
    let ends = |c: char| {
        c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '\'' | '#' | '=')
    };
    let mut at = begin + key.len() + 1;
    // What is in quotes is at odd places between them.
    for (number, part) in rest.split('"').enumerate() {
        if number % 2 == 0 {
            let mut word_at = at;
            for word in part.split(ends) {
                if is_text(word) {
                    return Some(word_at..word_at + word.len());
                }
                word_at += word.len() + 1;
            }
        }
        at += part.len() + 1;
    }
    None
}

/// Whether a bare word can only be meant as a text.
fn is_text(word: &str) -> bool {
    let is_address = word.parse::<IpAddr>().is_ok() || word.parse::<IpNet>().is_ok();
    let is_time = humantime::parse_duration(word).is_ok() && word.parse::<u64>().is_err();
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !["true", "false", "inf", "nan"].contains(&word);
    is_address || is_time || is_word
}

/// Where the same key, or header, is in the lines before, within its table.
fn earlier(text: &str, key: &str, before: usize) -> Option<Range<usize>> {
    let is_header = text.get(line_of(text, before)?..)?.trim_start().starts_with('[');
    let mut found = None;
    let mut at = 0;
    for line in text.get(..line_of(text, before)?)?.split_inclusive('\n') {
        let plain = line.trim_start();
        let indent = line.len() - plain.len();
        let name = if is_header {
            plain.strip_prefix('[').and_then(|rest| rest.split(']').next()).map(str::trim)
        } else if plain.starts_with('[') {
            // Another table begins, with keys of its own.
            found = None;
            None
        } else {
            plain.split_once('=').map(|(name, _)| name.trim())
        };
        if name == Some(key) {
            let begin = at + indent + usize::from(is_header);
            found = found.or(Some(begin..begin + key.len()));
        }
        at += line.len();
    }
    found
}
