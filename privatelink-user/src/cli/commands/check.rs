//! `privatelink check`: says whether a configuration is valid, and touches nothing.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use crate::{
    cli::{exit::Exit, globals::Globals, terminal::takes_color},
    config::{
        DEFAULT_PATH, Diagnostics, Loaded, Warnings, host_claims, load, lockout, unsupported,
    },
    host::addresses_at,
};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(value_name = "PATH", default_value = DEFAULT_PATH)]
    pub path: PathBuf,

    /// Fail if there are warnings, too
    #[arg(long)]
    pub deny_warnings: bool,

    /// Do not compare with this host: the configuration is of another one
    #[arg(long)]
    pub no_host: bool,
}

impl CheckArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> io::Result<Exit> {
        let color = takes_color(&io::stderr());
        self.check(globals.json, out, &mut io::stderr(), color)
    }

    /// Validates the configuration.
    ///
    /// The answer goes to `out`: one line, or with `json` one object. Without `json`, faults and
    /// warnings go to `faults` as text, coloured if `color`.
    ///
    /// # Errors
    ///
    /// When the answer cannot be written.
    pub fn check(
        &self,
        json: bool,
        out: &mut dyn Write,
        faults: &mut dyn Write,
        color: bool,
    ) -> io::Result<Exit> {
        match load(&self.path).and_then(|loaded| Ok((self.review(&loaded)?, loaded))) {
            Ok((warnings, loaded)) => {
                let denied = self.deny_warnings && !warnings.list().is_empty();
                if json {
                    writeln!(out, "{}", summary_json(&loaded, &warnings, !denied))?;
                } else {
                    faults.write_all(warnings.render(color).as_bytes())?;
                    let verdict = if denied { "refused, because of --deny-warnings" } else { "ok" };
                    writeln!(out, "{}: {}: {verdict}", self.path.display(), summary(&loaded))?;
                }
                Ok(if denied { Exit::Failed } else { Exit::Done })
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

    /// What this release, and this host, think of a valid configuration.
    fn review(&self, loaded: &Loaded) -> Result<Warnings, Diagnostics> {
        let mut warnings = Vec::new();
        if !self.no_host {
            lockout::review(loaded)?;
            host_claims::review(loaded, &addresses_at)?;
            warnings = host_claims::missing_interfaces(&loaded.model, &addresses_at);
        }
        warnings.extend(unsupported::review(loaded)?);
        Ok(Warnings::new(warnings, &loaded.sources))
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

fn summary_json(loaded: &Loaded, warnings: &Warnings, is_ok: bool) -> serde_json::Value {
    let [networks, services, endpoints] = counts(loaded).map(|(_, count)| count);
    let details = warnings.to_json();
    let warnings: Vec<_> = warnings.list().iter().map(|warning| &warning.message).collect();
    json!({
        "ok": is_ok,
        "networks": networks,
        "services": services,
        "endpoints": endpoints,
        "warnings": warnings,
        "warning_details": details,
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
