//! The files of a configuration, and locations in them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A range of bytes in one of the files.
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

/// One configuration file.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    pub text: String,
}

/// The kinds of objects that a configuration declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
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

impl ObjectKind {
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
/// Later stages, which know what no file says (what the kernel supports, for example), refuse a
/// part of the model with `Sources::refuse`, which points at the line to change.
#[derive(Debug, Clone)]
pub struct Sources {
    pub(super) files: Arc<[SourceFile]>,
}

impl Sources {
    /// The path and the text of each file, in the order in which they were read.
    pub fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|file| (file.path.as_path(), file.text.as_str()))
    }
}
