//! From a path or from texts to a [`Loaded`] configuration, or to everything that is wrong.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    diagnostic::{Diagnostics, Fault, Report},
    origins::Origins,
    parse::parse,
    raw::Document,
    source::{SourceFile, Sources},
    validate,
};
use crate::{model::Model, state::objects::Objects};

/// Where the configuration is unless the command line says otherwise: a directory of files.
pub const DEFAULT_PATH: &str = "/etc/privatelink";

/// A configuration without faults, and the text that it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the configuration means.
    pub model: Model,
    /// Where it says so.
    pub sources: Sources,
    /// Where each object is declared.
    pub origins: Origins,
}

/// Reads and validates a file, or all `*.toml` of a directory in the order of their names.
///
/// # Errors
///
/// Everything that is wrong, across all files.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    load_with(path, &Objects::new())
}

/// As [`load`], together with the objects of the API.
///
/// # Errors
///
/// Everything that is wrong, across files and objects.
pub fn load_with(path: &Path, objects: &Objects) -> Result<Loaded, Diagnostics> {
    load_from(path, |_| objects.clone())
}

/// As [`load_with`], where `objects` finds the objects by the state directory that the files name.
///
/// # Errors
///
/// Everything that is wrong, across files and objects.
pub fn load_from(
    path: &Path,
    objects: impl FnOnce(&Path) -> Objects,
) -> Result<Loaded, Diagnostics> {
    load_together(path, |parsed, _| parsed.state_dir().map(objects).unwrap_or_default())
}

/// As [`load_with`], but an object that the files declare as well is theirs. Returns also the
/// objects that are left.
///
/// # Errors
///
/// Everything that is wrong, across files and objects.
pub fn load_adopting(path: &Path, objects: &Objects) -> Result<(Loaded, Objects), Diagnostics> {
    let mut left = objects.clone();
    let loaded = load_together(path, |parsed, files| {
        let declared = Origins::of(&parsed.documents, files);
        left.retain(|name, _| declared.find(name).is_none());
        left.clone()
    })?;
    Ok((loaded, left))
}

/// Reads the files, and validates them together with objects that are chosen by what they say.
fn load_together(
    path: &Path,
    objects: impl FnOnce(&Parsed, &Sources) -> Objects,
) -> Result<Loaded, Diagnostics> {
    let mut report = Report::default();
    let files = read(path, &mut report);
    let mut parsed = Parsed::begin(&report);
    parsed.add(&files.files, &mut report);
    let objects = objects(&parsed, &files);
    let sources = files.with_objects(&objects, &BTreeSet::new());
    let rest = sources.files.get(files.files.len()..).unwrap_or_default();
    parsed.add(rest, &mut report);
    parsed.join(sources, report)
}

impl Sources {
    /// Validates these sources as one configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn load(self) -> Result<Loaded, Diagnostics> {
        interpret(self, Report::default())
    }
}

/// Validates text that is shown as the file `path` in diagnostics.
///
/// # Errors
///
/// Everything that is wrong.
pub fn from_text(path: &str, text: &str) -> Result<Loaded, Diagnostics> {
    Sources::new([SourceFile::new(path, text)]).load()
}

/// Validates texts as the files of one configuration, in this order.
///
/// # Errors
///
/// Everything that is wrong.
pub fn from_texts(
    files: impl IntoIterator<Item = (PathBuf, String)>,
) -> Result<Loaded, Diagnostics> {
    files_of(files).load()
}

/// Texts as the files of one configuration, in this order.
pub fn files_of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Sources {
    Sources::new(files.into_iter().map(|(path, text)| SourceFile::new(path, text)))
}

/// Reads the files of a configuration, without a look at what they say.
///
/// # Errors
///
/// Those that cannot be read.
pub fn texts(path: &Path) -> Result<Sources, Diagnostics> {
    let mut report = Report::default();
    let sources = read(path, &mut report);
    if report.is_empty() { Ok(sources) } else { Err(Diagnostics::new(report, sources)) }
}

fn interpret(sources: Sources, mut report: Report) -> Result<Loaded, Diagnostics> {
    let mut parsed = Parsed::begin(&report);
    parsed.add(&sources.files, &mut report);
    parsed.join(sources, report)
}

/// The sources as far as they have been parsed.
struct Parsed {
    documents: Vec<Document>,
    /// How many there were.
    count: usize,
    /// Whether all of them are documents.
    whole: bool,
}

impl Parsed {
    fn begin(report: &Report) -> Self {
        // What a file that cannot be read would have defined is unknown. Complaining about
        // references to it would bury the one fault that matters.
        Self { documents: Vec::new(), count: 0, whole: report.is_empty() }
    }

    /// Parses the next ones.
    fn add(&mut self, sources: &[SourceFile], report: &mut Report) {
        for source in sources {
            match parse::<Document>(self.count, &source.text, report) {
                Some(document) => self.documents.push(document),
                None => self.whole = false,
            }
            self.count += 1;
        }
    }

    /// The state directory that they name, or the one that is meant if they name none.
    fn state_dir(&self) -> Option<&Path> {
        let gateway = self.documents.iter().find_map(|document| document.gateway.as_ref());
        gateway.map(|gateway| gateway.value.state_dir.value.as_path())
    }

    /// Validates all of them together.
    fn join(self, sources: Sources, mut report: Report) -> Result<Loaded, Diagnostics> {
        if !self.whole {
            return Err(Diagnostics::new(report, sources));
        }
        let origins = Origins::of(&self.documents, &sources);
        match validate::model(self.documents, &sources, &mut report) {
            Some(model) if report.is_empty() => Ok(Loaded { model, sources, origins }),
            _ => Err(Diagnostics::new(report, sources)),
        }
    }
}

/// Reads the file, or all `*.toml` of the directory in the order of their names.
fn read(path: &Path, report: &mut Report) -> Sources {
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
            Ok(text) => files.push(SourceFile::new(path, text)),
            Err(error) => report.push(unreadable(&path, &error)),
        }
    }
    Sources::new(files)
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
