//! Where each service and each endpoint is declared: in which file, or by the API.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use super::{
    raw::Document,
    source::{ObjectKind, Sources},
};
use crate::{
    model::Name,
    state::objects::{Kind, ObjectName},
};

/// Where an object is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A file, and the line of its name there.
    File(&'a Path, usize),
    /// The API has made it.
    Api,
}

/// As status and plan show it.
impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Api => f.write_str("api"),
        }
    }
}

/// Where all of them are declared.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<BTreeMap<(ObjectKind, Name), Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    /// `None` is the API.
    file: Option<Arc<Path>>,
    line: usize,
}

impl Origins {
    /// The first declaration of each name; another one of the same name is a fault.
    pub(super) fn of(documents: &[Document], sources: &Sources) -> Self {
        let mut all = BTreeMap::new();
        for (document, source) in documents.iter().zip(sources.files.iter()) {
            let file: Option<Arc<Path>> =
                source.object.is_none().then(|| source.path.as_path().into());
            let mut lines = Lines { text: &source.text, offset: 0, line: 1 };
            let mut note = |kind, name: &Name, at: usize| {
                let entry = || Entry { file: file.clone(), line: lines.of(at) };
                all.entry((kind, name.clone())).or_insert_with(entry);
            };
            for one in document.service.iter().flat_map(|list| &list.value) {
                if let Some(name) = &one.value.name {
                    note(ObjectKind::Service, &name.value, name.at.start);
                }
            }
            for one in document.endpoint.iter().flat_map(|list| &list.value) {
                if let Some(name) = &one.value.name {
                    note(ObjectKind::Endpoint, &name.value, name.at.start);
                }
            }
        }
        Self(Arc::new(all))
    }

    /// The API has made these as well.
    pub fn add<'a>(&mut self, made: impl IntoIterator<Item = &'a ObjectName>) {
        let all = Arc::make_mut(&mut self.0);
        all.extend(made.into_iter().map(|object| (key(object), Entry { file: None, line: 1 })));
    }

    /// Where an object is declared, if it is.
    pub fn find(&self, object: &ObjectName) -> Option<Origin<'_>> {
        self.0.get(&key(object)).map(|entry| match &entry.file {
            Some(path) => Origin::File(path, entry.line),
            None => Origin::Api,
        })
    }
}

fn key(object: &ObjectName) -> (ObjectKind, Name) {
    let kind = match object.kind {
        Kind::Service => ObjectKind::Service,
        Kind::Endpoint => ObjectKind::Endpoint,
    };
    (kind, object.name.clone())
}

/// Counts lines: quickly for offsets that rise, as those of most files do.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, offset: usize) -> usize {
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let passed = self.text.get(self.offset..offset).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.offset = offset;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files_of;

    #[test]
    fn each_object_is_declared_in_a_line_of_a_file() {
        let text = include_str!("../desired/tests.toml");
        let loaded = files_of([("etc/gw.toml".into(), text.to_owned())]).load().unwrap();
        for (kind, name) in
            [(Kind::Service, "web"), (Kind::Service, "mail"), (Kind::Endpoint, "acme-web")]
        {
            let object = ObjectName { kind, name: name.parse().unwrap() };
            let Some(Origin::File(path, line)) = loaded.origins.find(&object) else {
                panic!("{name} is in a file");
            };
            assert_eq!(path, Path::new("etc/gw.toml"));
            let written = text.lines().nth(line - 1).unwrap();
            assert_eq!(written, format!("name = \"{name}\""));
        }
        let other = ObjectName { kind: Kind::Endpoint, name: "web".parse().unwrap() };
        assert_eq!(loaded.origins.find(&other), None);
    }
}
