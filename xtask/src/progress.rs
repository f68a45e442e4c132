//! A build with a display of how far it is: a bar on a terminal, cargo's own lines elsewhere.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::step::Step;
use crate::workspace;

/// Arguments that build the daemon and a program of `package`. In two builds some crates, the
/// daemon's library among them, would be compiled twice: with the features that either asks for.
pub const fn daemon_and<'a>(package: &'a str, program: &'a str) -> [&'a str; 8] {
    [
        "--package",
        "privatelink-user",
        "--package",
        package,
        "--bin",
        "privatelink",
        "--bin",
        program,
    ]
}

/// `cargo build` with these arguments.
///
/// # Errors
/// When something does not compile; the compiler's messages have been shown.
pub fn build(arguments: &[&str]) -> Result<()> {
    if std::io::stderr().is_terminal() {
        with_bar(arguments)
    } else {
        Step::cargo("build").args(arguments).run()
    }
}

fn with_bar(arguments: &[&str]) -> Result<()> {
    println!("$ cargo build {}", arguments.join(" "));
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {pos} crates in {elapsed}: {msg}")
        .context("the progress display's template")?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut child = Command::new(workspace::cargo())
        .current_dir(workspace::root())
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let messages = child.stdout.take().context("its output was asked for")?;
    for line in BufReader::new(messages).lines() {
        if let Some(name) = compiled_crate(&line.context("cannot read cargo's messages")?) {
            bar.inc(1);
            bar.set_message(name);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    bar.finish_and_clear();
    ensure!(status.success(), "`cargo build {}` failed", arguments.join(" "));
    println!("built {} crates in {:.0?}", bar.position(), bar.elapsed());
    Ok(())
}

/// The crate that a line of cargo's JSON messages says is done.
fn compiled_crate(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_artifact = message.get("reason")?.as_str()? == "compiler-artifact";
    let name = message.get("target")?.get("name")?.as_str()?;
    is_artifact.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_crate_is_recognised() {
        let done = r#"{"reason":"compiler-artifact","target":{"name":"aya"}}"#;
        let other = r#"{"reason":"build-finished","success":true}"#;
        assert_eq!(compiled_crate(done).as_deref(), Some("aya"));
        assert_eq!(compiled_crate(other), None);
    }
}
