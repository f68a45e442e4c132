//! What the commands that write have in common: how they ask, and what they print.

use std::{fmt::Write as _, io::Write, thread, time::Duration};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{plan, show};
use crate::{
    cli::{
        client::{self, Method},
        exit::Exit,
        globals::Globals,
        print::print,
    },
    interface::{
        path,
        types::{Connection, WriteQuery, Written},
    },
    state::connection::Acceptance,
};

#[derive(Debug, Args)]
pub struct DryRun {
    /// Only show what that would change
    #[arg(long)]
    pub dry_run: bool,
}

/// Makes the daemon write, and prints what that has changed, or why it has not.
pub(super) fn write(
    globals: &Globals,
    (method, path): (Method, &str),
    body: Option<&impl Serialize>,
    how: &DryRun,
    out: &mut impl Write,
) -> Result<Exit> {
    send(globals, (method, path), (body, false), how, out)
}

/// As [`write()`], unless there is such an object already.
pub(super) fn create(
    globals: &Globals,
    path: &str,
    body: &impl Serialize,
    how: &DryRun,
    out: &mut impl Write,
) -> Result<Exit> {
    send(globals, (Method::PUT, path), (Some(body), true), how, out)
}

fn send(
    globals: &Globals,
    (method, path): (Method, &str),
    (body, create): (Option<&impl Serialize>, bool),
    how: &DryRun,
    out: &mut impl Write,
) -> Result<Exit> {
    let query = WriteQuery { dry_run: how.dry_run.then_some(1) };
    let path = client::with_query(path, &query)?;
    match client::write(&globals.daemon(), (method, &path), body, create) {
        Err(client::Error::Faulty(problem)) => plan::faulty(globals, &problem, out),
        answer => {
            print(out, globals.json, &answer?, text)?;
            Ok(Exit::Done)
        }
    }
}

/// What has been written, and who is to decide now.
fn text(written: &Written) -> String {
    let mut text = String::new();
    for object in &written.objects {
        let would = if written.dry_run && object.action != "unchanged" { "would be " } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}: {would}{}", object.kind, object.name, object.action);
    }
    let are = if written.dry_run { "would be" } else { "were" };
    if !written.difference.changes.is_empty() {
        text += &plan::text(&written.difference, are);
    }
    for connection in &written.waiting {
        let Connection { endpoint, provider, .. } = connection;
        let _ = writeln!(
            text,
            "{endpoint} waits: `{provider}` has to accept it (`privatelink accept {endpoint}`); \
             see `privatelink connections {endpoint}`"
        );
    }
    text
}

/// How often a connection is looked at that waits for a decision.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until a connection is decided, and prints the decision.
pub(super) fn wait(globals: &Globals, endpoint: &str, out: &mut impl Write) -> Result<Exit> {
    let path = path::of(path::CONNECTION, &client::name(endpoint)?);
    loop {
        let connection: Connection = client::get(&globals.daemon(), &path)?;
        if connection.state != Acceptance::Pending.word() {
            print(out, globals.json, &connection, show::decided)?;
            let is_available = connection.state == Acceptance::Available.word();
            return Ok(if is_available { Exit::Done } else { Exit::Failed });
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::types::WrittenObject;

    #[test]
    fn one_is_told_who_has_to_decide() {
        let object = WrittenObject {
            kind: "endpoint".into(),
            name: "acme-web".into(),
            action: "added".into(),
            tag: None,
        };
        let waiting = Connection {
            endpoint: "acme-web".into(),
            provider: "vendor".into(),
            ..Connection::default()
        };
        let mut written =
            Written { objects: vec![object], waiting: vec![waiting], ..Written::default() };
        let said = text(&written);
        assert!(said.starts_with("endpoint acme-web: added\n"), "{said}");
        assert!(said.contains("`vendor` has to accept it"), "{said}");
        written.dry_run = true;
        assert!(text(&written).starts_with("endpoint acme-web: would be added\n"));
    }
}
