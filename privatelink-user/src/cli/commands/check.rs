//! `privatelink check`: says whether a configuration is valid, and touches nothing.

use std::{
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{
    cli::{exit::Exit, globals::Globals},
    config::{DEFAULT_PATH, Loaded, Warning, load, lockout, unsupported},
};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(value_name = "PATH", default_value = DEFAULT_PATH)]
    pub path: PathBuf,
}

impl CheckArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> io::Result<Exit> {
        let color = io::stderr().is_terminal();
        check(&self.path, globals.json, out, &mut io::stderr(), color)
    }
}

/// Validates the configuration at `path`.
///
/// The answer goes to `out`: one line, or with `json` one object. Without `json`, faults go to
/// `faults` as text, coloured if `color`.
///
/// # Errors
///
/// When the answer cannot be written.
pub fn check(
    path: &Path,
    json: bool,
    out: &mut dyn Write,
    faults: &mut dyn Write,
    color: bool,
) -> io::Result<Exit> {
    let reviewed = load(path).and_then(|loaded| {
        lockout::review(&loaded)?;
        Ok((unsupported::review(&loaded)?, loaded))
    });
    match reviewed {
        Ok((warnings, loaded)) => {
            if json {
                writeln!(out, "{}", summary_json(&loaded, &warnings))?;
            } else {
                for warning in warnings {
                    writeln!(faults, "warning: {warning}")?;
                }
                writeln!(out, "{}: {}: ok", path.display(), summary(&loaded))?;
            }
            Ok(Exit::Done)
        }
        Err(diagnostics) => {
            if json {
                let answer = json!({ "ok": false, "errors": diagnostics.to_json() });
                writeln!(out, "{answer}")?;
            } else {
                faults.write_all(diagnostics.render(color).as_bytes())?;
            }
            Ok(Exit::Failed)
        }
    }
}

fn summary(loaded: &Loaded) -> String {
    counts(loaded)
        .map(|(word, count)| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {word}{plural}")
        })
        .join(", ")
}

fn summary_json(loaded: &Loaded, warnings: &[Warning]) -> serde_json::Value {
    let [networks, services, endpoints] = counts(loaded).map(|(_, count)| count);
    let warnings: Vec<_> = warnings.iter().map(|warning| &warning.message).collect();
    json!({
        "ok": true,
        "networks": networks,
        "services": services,
        "endpoints": endpoints,
        "warnings": warnings,
    })
}

fn counts(loaded: &Loaded) -> [(&'static str, usize); 3] {
    let model = &loaded.model;
    [
        ("network", model.networks().len()),
        ("service", model.services().len()),
        ("endpoint", model.endpoints().len()),
    ]
}
