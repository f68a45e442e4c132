//! The lines of the journal: a checksum, and what it is of.
//!
//! ```text
//! 1f2e3d4c {"format":"privatelink-state","version":1}
//! 5a6b7c8d {"number":1,"changes":[…]}
//! ```
//!
//! Text, so that a person can read it, and so that a line that a crash left incomplete differs
//! from one that was damaged later: a line that was written whole ends in a line break and holds
//! no zero byte. File systems read what never reached the disk as zeros.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::change::Change;

/// Is raised whenever an older daemon would misread the file. Version 2 added targets, version 3
/// access keys and the objects of the API.
pub(super) const VERSION: u32 = 3;

/// The version of a file that needs nothing newer: the release before reads it.
pub(super) const PLAIN: u32 = 2;

/// From this version on, each index is an entry of its own.
pub(super) const ENTRIES: u32 = 3;

/// The oldest version that this daemon reads as it was meant.
pub(super) const OLDEST: u32 = 1;

const FORMAT: &str = "privatelink-state";

/// The first line.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    pub version: u32,
}

impl Header {
    pub fn of(version: u32) -> Self {
        Self { format: FORMAT.into(), version }
    }

    pub fn is_ours(&self) -> bool {
        self.format == FORMAT
    }
}

/// Every other line: changes that are made together.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    /// One more than that of the line before.
    pub number: u64,
    pub changes: Vec<Change>,
}

/// How a line was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<T> {
    /// It was written whole.
    Whole(T),
    /// It was never written to its end.
    Torn,
    /// It was written whole, and has changed since.
    Damaged,
}

/// Writes a line.
pub(super) fn encode(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(content)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

/// Reads a line; `bytes` end with its line break, if it has one.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Line<T> {
    let Some(line) = bytes.strip_suffix(b"\n") else { return Line::Torn };
    if line.contains(&0) {
        return Line::Torn;
    }
    let json = line.split_at_checked(9).filter(|(sum, json)| {
        sum.eq_ignore_ascii_case(format!("{:08x} ", crc32fast::hash(json)).as_bytes())
    });
    match json.and_then(|(_, json)| serde_json::from_slice(json).ok()) {
        Some(content) => Line::Whole(content),
        None => Line::Damaged,
    }
}
