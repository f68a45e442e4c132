//! The objects of the API as sources: each as if it were in a file of its own, so that everything
//! that is true of files is true of them.

use std::collections::BTreeSet;

use super::{
    diagnostic::{Diagnostics, Report},
    parse::parse,
    raw::Document,
    source::{SourceFile, SourceObject, Sources},
    toml_text,
};
use crate::state::objects::{Content, Object, ObjectName, Objects};

/// What an object would be in a file.
pub fn object_text(name: &ObjectName, content: &Content) -> String {
    toml_text::object(name.kind.word(), content)
}

/// What is wrong with objects, each looked at alone.
///
/// # Errors
/// All of that.
pub fn faults_of(objects: &Objects) -> Result<(), Diagnostics> {
    let sources = Sources::new(objects.iter().map(|(name, object)| source(name, object)));
    let mut report = Report::default();
    for (number, file) in sources.files.iter().enumerate() {
        parse::<Document>(number, &file.text, &mut report);
    }
    if report.is_empty() { Ok(()) } else { Err(Diagnostics::new(report, sources)) }
}

pub(super) fn source(name: &ObjectName, object: &Object) -> SourceFile {
    let of = SourceObject { name: name.clone(), authority: object.authority.clone() };
    let text = object_text(name, &object.content);
    SourceFile { object: Some(of), ..SourceFile::new(name.place(), text) }
}

impl Sources {
    /// The files among these sources together with other objects of the API, `last` at the end: a
    /// fault of two sources is reported at the later one.
    #[must_use]
    pub fn with_objects(&self, objects: &Objects, last: &BTreeSet<ObjectName>) -> Self {
        let files = self.files.iter().filter(|file| file.object.is_none()).cloned();
        let (last, first): (Vec<_>, Vec<_>) =
            objects.iter().partition(|(name, _)| last.contains(name));
        let objects = first.into_iter().chain(last);
        Self::new(files.chain(objects.map(|(name, object)| source(name, object))))
    }
}
