//! The files of the log, in their order.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A file, with the number of its first line.
pub(super) struct Part {
    pub first: u64,
    pub path: PathBuf,
}

/// The files in a directory, the oldest first; none if there is no directory.
pub(super) fn parts(directory: &Path) -> io::Result<Vec<Part>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut parts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(first) = first.and_then(|first| first.parse().ok()) {
            parts.push(Part { first, path });
        }
    }
    parts.sort_unstable_by_key(|part| part.first);
    Ok(parts)
}

/// Creates the file whose first line has this number.
pub(super) fn create(directory: &Path, first: u64) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(format!("audit-{first:012}.jsonl"));
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// Opens a file to append to it, without an incomplete last line; returns also its content.
pub(super) fn reopen(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut content = fs::read(path)?;
    let file = OpenOptions::new().append(true).open(path)?;
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < content.len() {
        file.set_len(u64::try_from(whole).map_err(io::Error::other)?)?;
        content.truncate(whole);
    }
    Ok((file, content))
}

/// Appends a line, and waits until it is on the disk if that is asked for.
pub(super) fn append(mut file: &File, line: &[u8], sync: bool) -> io::Result<()> {
    file.write_all(line)?;
    if sync { file.sync_data() } else { Ok(()) }
}
