//! Reads and checks the log, beside whoever writes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::file::{self, Part};
use crate::{
    digest::{none, sha256},
    interface::types::{AuditCheck, AuditEntry},
};

/// Reads the log of a directory.
#[derive(Clone, Debug)]
pub struct AuditReader {
    directory: PathBuf,
}

impl AuditReader {
    /// Reads the files of this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The entries after a number, or the latest ones, that are wanted; lines that cannot be read are
    /// left out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn entries(
        &self,
        after: Option<u64>,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> io::Result<Vec<AuditEntry>> {
        let parts = file::parts(&self.directory)?;
        let Some(after) = after else { return latest(&parts, limit, wanted) };
        let mut found = Vec::new();
        // The file that has the number begins at it, or before.
        let begin = parts.partition_point(|part| part.first <= after).saturating_sub(1);
        for part in parts.iter().skip(begin) {
            let entries = entries(&part.path)?.into_iter();
            let entries = entries.filter(|entry| entry.number > after && wanted(entry));
            found.extend(entries.take(limit.saturating_sub(found.len())));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// Checks that each line has the number and the digest that it must have.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verify(&self) -> io::Result<AuditCheck> {
        let parts = file::parts(&self.directory)?;
        let mut check = AuditCheck { digest: none(), ..AuditCheck::default() };
        for part in &parts {
            check.files += 1;
            let content = fs::read(&part.path)?;
            // The last file is empty if the disk was full when it was begun.
            if content.is_empty() && check.files < parts.len() as u64 {
                check.fault = Some(format!("{} has been emptied", part.path.display()));
                return Ok(check);
            }
            let mut first = true;
            for (line, text) in (1_u64..).zip(content.split_inclusive(|byte| *byte == b'\n')) {
                // Whoever writes may just be doing so.
                let Some(text) = text.strip_suffix(b"\n") else { continue };
                if let Err(fault) = follow(&mut check, text, first.then_some(part.first)) {
                    check.fault = Some(format!("{}, line {line}: {fault}", part.path.display()));
                    return Ok(check);
                }
                first = false;
            }
        }
        Ok(check)
    }
}

/// Checks a line against those before it.
fn follow(check: &mut AuditCheck, text: &[u8], first: Option<u64>) -> Result<(), String> {
    let entry: AuditEntry =
        serde_json::from_slice(text).map_err(|error| format!("it is no entry: {error}"))?;
    let expected = check.last + 1;
    // Files that were moved away are missed at the beginning only: the first one kept says where.
    let moved = check.entries == 0 && first == Some(entry.number);
    if entry.number != expected && !moved {
        return Err(format!("entry {} stands where {expected} belongs", entry.number));
    }
    if entry.previous != check.digest && !(moved && entry.number != 1) {
        return Err(format!("the entry before {} is not the one that was written", entry.number));
    }
    check.entries += 1;
    (check.last, check.digest) = (entry.number, sha256(text));
    Ok(())
}

fn latest(
    parts: &[Part],
    limit: usize,
    wanted: impl Fn(&AuditEntry) -> bool,
) -> io::Result<Vec<AuditEntry>> {
    let mut found = Vec::new();
    for part in parts.iter().rev() {
        let entries = entries(&part.path)?.into_iter().rev().filter(&wanted);
        found.extend(entries.take(limit.saturating_sub(found.len())));
        if found.len() == limit {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

fn entries(path: &Path) -> io::Result<Vec<AuditEntry>> {
    let content = fs::read(path)?;
    let lines = content.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
