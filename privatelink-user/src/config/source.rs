//! The files of a configuration and the objects of the API, and locations in them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{model::Name, state::objects::ObjectName};

/// A range of bytes in one of the sources.
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

/// A value with the location where it was written.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub value: T,
    pub at: Location,
}

/// One configuration file, or one object of the API as if it were in a file of its own.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    pub text: Arc<str>,
    /// The object that the text is of; `None` for a file.
    pub object: Option<SourceObject>,
}

impl SourceFile {
    /// A file with this content.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into(), object: None }
    }
}

/// Which object of the API a source is.
#[derive(Debug, Clone)]
pub(super) struct SourceObject {
    pub name: ObjectName,
    /// The principal that it speaks for; `None` is the operator.
    pub authority: Option<Name>,
}

/// The kinds of objects that a configuration declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `[gateway]`
    Gateway,
    /// `[[site]]`
    Site,
    /// `[[principal]]`
    Principal,
    /// `[[network]]`
    Network,
    /// `[[service]]`
    Service,
    /// `[[endpoint]]`
    Endpoint,
}

impl ObjectKind {
    /// The word for it in files and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Site => "site",
            Self::Principal => "principal",
            Self::Network => "network",
            Self::Service => "service",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The text that a [`crate::model::Model`] was read from.
///
/// Later stages, which know what no file says (what the kernel supports, for example), refuse a
/// part of the model with `Sources::refuse`, which points at the line to change.
#[derive(Debug, Clone)]
pub struct Sources {
    pub(super) files: Arc<[SourceFile]>,
}

impl Sources {
    /// These sources.
    pub(super) fn new(files: impl IntoIterator<Item = SourceFile>) -> Self {
        Self { files: files.into_iter().collect() }
    }

    /// The path and the text of each file, in the order in which they were read.
    pub fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        let files = self.files.iter().filter(|file| file.object.is_none());
        files.map(|file| (file.path.as_path(), &*file.text))
    }
}
