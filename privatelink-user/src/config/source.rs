//! The files of a configuration, and places in them.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::diagnostic::{Diagnostics, Fault, Report};
use crate::model::Name;

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

impl Location {
    pub fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }

    pub fn span(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub value: T,
    pub at: Location,
}

/// One configuration file.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    pub text: String,
}

/// The kinds of things that a configuration declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `[gateway]`
    Gateway,
    /// `[[principal]]`
    Principal,
    /// `[[network]]`
    Network,
    /// `[[service]]`
    Service,
    /// `[[endpoint]]`
    Endpoint,
}

impl Kind {
    /// The word for it in files and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Principal => "principal",
            Self::Network => "network",
            Self::Service => "service",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The text that a [`crate::model::Model`] was read from.
///
/// Later stages, which know things that no file says (what the kernel can do, say), refuse a
/// part of the model through [`Sources::refuse`] and so point at the line to change.
#[derive(Debug, Clone)]
pub struct Sources {
    pub(super) files: Arc<[SourceFile]>,
}

impl Sources {
    /// A diagnostic about `key` of the named thing.
    ///
    /// `key` leads through nested tables and lists: `vlan`, `health_check.port`,
    /// `listener.0.protocol`. The deepest part of it that is written in a file is underlined.
    pub fn refuse(
        &self,
        kind: Kind,
        name: &Name,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostics {
        let at = self.files.iter().enumerate().find_map(|(number, file)| {
            locate(&file.text, kind, name, key).map(|span| Location::new(number, span))
        });
        let mut report = Report::default();
        report.push(Fault { at, help: Some(help.into()), ..Fault::new(message) });
        Diagnostics::new(report, self.clone())
    }

    /// The files and what they say, in the order in which they were read.
    pub fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|file| (file.path.as_path(), file.text.as_str()))
    }
}

/// Reads the file, or all `*.toml` of the directory in the order of their names.
pub(super) fn read(path: &Path, report: &mut Report) -> Sources {
    let paths = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match directory(path) {
            Ok(paths) => {
                if paths.is_empty() {
                    report.push(
                        Fault::new(format!("`{}` has no *.toml file", path.display()))
                            .help("put the configuration into a file such as gateway.toml there"),
                    );
                }
                paths
            }
            Err(error) => {
                report.push(unreadable(path, &error));
                Vec::new()
            }
        },
        // What is wrong with a file that is not there is said by opening it.
        Ok(_) | Err(_) => vec![path.to_path_buf()],
    };
    let mut files = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => files.push(SourceFile { path, text }),
            Err(error) => report.push(unreadable(&path, &error)),
        }
    }
    Sources { files: files.into() }
}

fn directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        // Editors keep half-written copies under names that begin with a dot.
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new(format!("cannot read `{}`: {error}", path.display()));
    let kind = error.kind();
    fault.help(if kind == io::ErrorKind::InvalidData {
        "save the file as UTF-8 text"
    } else if kind == io::ErrorKind::NotFound {
        "name a configuration file, or a directory of *.toml files"
    } else {
        "make the file readable for this user"
    })
}

/// Finds what `key` of the named thing has in `text`, or as much of the way to it as there is.
fn locate(text: &str, kind: Kind, name: &Name, key: &str) -> Option<Range<usize>> {
    let (document, _) = DeTable::parse_recoverable(text);
    let section = document.get_ref().get(kind.word())?;
    let named = |element: &&Spanned<DeValue<'_>>| {
        let written = element.get_ref().get("name");
        written.and_then(|value| value.get_ref().as_str()) == Some(name.as_str())
    };
    let mut place = match section.get_ref().as_array() {
        Some(elements) => elements.iter().find(named)?,
        None => section,
    };
    for part in key.split('.') {
        let next = match part.parse::<usize>() {
            Ok(index) => place.get_ref().get(index),
            Err(_) => place.get_ref().get(part),
        };
        let Some(next) = next else { break };
        place = next;
    }
    Some(place.span())
}
