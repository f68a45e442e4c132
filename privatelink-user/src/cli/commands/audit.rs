//! `privatelink audit`: who has changed what, and who was refused.

use std::{fmt::Write as _, io::Write, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    audit::AuditReader,
    cli::{client, exit::Exit, globals::Globals, print::print},
    interface::{
        path,
        types::{AuditCheck, AuditEntry, AuditQuery},
    },
};

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Check that no line was altered, removed or inserted
    #[arg(long, conflicts_with_all = ["after", "limit"])]
    pub verify: bool,

    /// With --verify, check a copy of the files in this directory, without a daemon
    #[arg(long, value_name = "PATH", requires = "verify")]
    pub directory: Option<PathBuf>,

    /// Only entries with a higher number than this
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,

    /// The most entries to print
    #[arg(
        long,
        value_name = "N",
        default_value_t = AuditQuery::DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=AuditQuery::MAX_LIMIT as i64),
    )]
    pub limit: u32,
}

impl AuditArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        if self.verify {
            let check = self.check(globals)?;
            print(out, globals.json, &check, checked)?;
            return Ok(if check.fault.is_none() { Exit::Done } else { Exit::Failed });
        }
        let query = AuditQuery { after: self.after, limit: Some(self.limit) };
        let path = client::with_query(path::AUDIT, &query)?;
        let entries: Vec<AuditEntry> = client::get(&globals.daemon(), &path)?;
        print(out, globals.json, &entries, |entries| {
            entries.iter().map(|entry| line(entry) + "\n").collect()
        })?;
        Ok(Exit::Done)
    }

    fn check(&self, globals: &Globals) -> Result<AuditCheck> {
        match &self.directory {
            Some(directory) => AuditReader::new(directory.clone())
                .verify()
                .with_context(|| format!("cannot read {}", directory.display())),
            None => Ok(client::get(&globals.daemon(), path::AUDIT_CHECK)?),
        }
    }
}

fn checked(check: &AuditCheck) -> String {
    let AuditCheck { files, entries, last, digest, fault } = check;
    match fault {
        Some(fault) => format!("the audit log was altered: {fault}\n"),
        None => format!("{entries} entries in {files} files are whole; {last} is {digest}\n"),
    }
}

fn line(entry: &AuditEntry) -> String {
    let AuditEntry { number, time, kind, by, action, .. } = entry;
    let mut line = format!("{number:>6}  {time}  {kind:<8}");
    let object = entry.object.as_ref().map(|object| format!(" {object}"));
    // Writing to a string cannot fail.
    let _ = write!(line, "{action}{} by {by}", object.unwrap_or_default());
    if let Some(address) = &entry.address {
        line += &format!(" from {address}");
    }
    if let (Some(attempt), Some(result)) = (entry.attempt, &entry.result) {
        line += &format!(": {result} (attempt {attempt})");
    }
    if let Some(error) = &entry.error {
        line += &format!(": {error}");
    }
    line
}
