//! `privatelink doctor`: what is wrong with this host.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::{
    cli::{
        absence::Absence,
        client,
        daemon::Daemon,
        exit::Exit,
        globals::Globals,
        print::{print, write},
        terminal::{Attention, takes_color},
    },
    config::{self, DEFAULT_PATH},
    doctor::{Finding, HostView, Severity, examine},
    interface::{path, types::Status},
    model::Model,
};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(value_name = "PATH", default_value = DEFAULT_PATH)]
    pub path: PathBuf,

    /// Fail if there are warnings, too
    #[arg(long)]
    pub deny_warnings: bool,
}

/// A finding as programs get it.
#[derive(Serialize)]
struct Shown<'a> {
    check: &'a str,
    severity: &'a str,
    detail: &'a str,
    remedy: &'a str,
}

impl DoctorArgs {
    /// Examines this host, and fails if something is wrong.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        let (model, mut findings) = read(&self.path);
        findings.extend(examine(&HostView::real(), model.as_ref()));
        let configured = || model.as_ref().map(|model| model.gateway().socket.clone());
        let socket = globals.socket.clone().or_else(configured);
        findings.extend(daemon(&socket.unwrap_or_else(|| globals.local_socket())));
        findings.sort_by_key(|finding| finding.severity);
        let worst = findings.first().map(|finding| finding.severity);
        let passed = worst.is_none() || worst == Some(Severity::Warning) && !self.deny_warnings;
        if globals.json {
            let shown: Vec<_> = findings.iter().map(shown).collect();
            print(out, true, &json!({ "passed": passed, "findings": shown }), |_| String::new())?;
        } else {
            write(out, &text(&findings, takes_color(&io::stdout())))?;
        }
        Ok(if passed { Exit::Done } else { Exit::Failed })
    }
}

/// The configuration, if it is there and sound; else what is wrong with it.
fn read(path: &Path) -> (Option<Model>, Vec<Finding>) {
    if !path.exists() {
        let detail = format!(
            "there is no configuration at {}: only the kernel and the clock were looked at",
            path.display()
        );
        let remedy = "name it: `privatelink doctor PATH`";
        return (None, vec![Finding::warning("configuration", detail, remedy)]);
    }
    match config::load(path) {
        Ok(loaded) => (Some(loaded.model), Vec::new()),
        Err(diagnostics) => {
            let detail = format!("the configuration {} is refused: {diagnostics}", path.display());
            let remedy = format!("run `privatelink check {}`", path.display());
            (None, vec![Finding::error("configuration", detail, remedy)])
        }
    }
}

/// What the daemon says, or what its absence means.
fn daemon(socket: &Path) -> Vec<Finding> {
    match client::get::<Status>(&Daemon::Socket(socket.to_owned()), path::STATUS) {
        Ok(status) => of_status(&status),
        Err(client::Error::NotRunning {
            absence: Absence::Forwards { interfaces, .. }, ..
        }) => {
            let detail = format!(
                "no daemon runs: packets go on as before on {}, and nothing follows checks, grants of \
                 names and changes",
                interfaces.join(", ")
            );
            vec![Finding::error("daemon-absent", detail, "run `systemctl start privatelink`")]
        }
        // A host is looked at before the first start, too.
        Err(client::Error::NotRunning { .. }) => Vec::new(),
        Err(error) => {
            let detail = format!("the daemon does not answer: {error}");
            vec![Finding::warning("daemon-silent", detail, "run `journalctl -u privatelink -n 50`")]
        }
    }
}

fn of_status(status: &Status) -> Vec<Finding> {
    let ours = env!("CARGO_PKG_VERSION");
    let mut found: Vec<Finding> = status
        .problems
        .iter()
        .map(|problem| {
            Finding::error("daemon-problem", problem.clone(), "see `privatelink status`")
        })
        .collect();
    if status.version != ours {
        found.push(Finding::warning(
            "daemon-release",
            format!("the daemon is of release {}, and this program of {ours}", status.version),
            "run `systemctl restart privatelink`: no flow is lost",
        ));
    }
    found
}

fn shown(finding: &Finding) -> Shown<'_> {
    let Finding { check, severity, detail, remedy } = finding;
    Shown { check, severity: severity.word(), detail, remedy }
}

fn text(findings: &[Finding], color: bool) -> String {
    if findings.is_empty() {
        return "nothing is wrong with this host\n".to_owned();
    }
    let mut text = String::new();
    for Finding { check, severity, detail, remedy } in findings {
        let attention = match severity {
            Severity::Error => Attention::Broken,
            Severity::Warning => Attention::Waiting,
        };
        let word = severity.word();
        let word = if color { attention.paint(word) } else { word.to_owned() };
        text += &format!("{word} {check}: {detail}\n    {remedy}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_its_remedy_another() {
        let findings = [Finding::warning("bpf-jit", "it is off", "run `sysctl -w x=1`")];
        assert_eq!(text(&findings, false), "warning bpf-jit: it is off\n    run `sysctl -w x=1`\n");
        assert_eq!(text(&[], false), "nothing is wrong with this host\n");
    }

    #[test]
    fn a_configuration_that_is_absent_or_faulty_is_a_finding() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        let (model, found) = read(&file);
        assert!(model.is_none() && found[0].severity == Severity::Warning);
        std::fs::write(&file, "[gateway]\nname = \"gw-a\"\ncolour = 1\n").unwrap();
        let (model, found) = read(&file);
        assert!(model.is_none() && found[0].severity == Severity::Error);
        assert!(found[0].detail.contains("`colour`"), "{}", found[0].detail);
        std::fs::write(&file, "[gateway]\nname = \"gw-a\"\n").unwrap();
        assert!(read(&file).0.is_some_and(|model| model.gateway().name.as_str() == "gw-a"));
    }

    #[test]
    fn a_socket_without_a_daemon_is_no_finding() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(daemon(&directory.path().join("s")), []);
    }
}
