//! From a path or from texts to a [`Loaded`] configuration, or to everything that is wrong.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    diagnostic::{Diagnostics, Fault, Report},
    parse::parse,
    raw::Document,
    source::{SourceFile, Sources},
    validate,
};
use crate::model::Model;

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
    let sources = read(path, &mut report);
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
    let sources = read(path, &mut report);
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
    let model = if whole { validate::model(documents, &sources, &mut report) } else { None };
    match model {
        Some(model) if report.is_empty() => Ok(Loaded { model, sources }),
        _ => Err(Diagnostics::new(report, sources)),
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
