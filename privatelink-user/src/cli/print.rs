//! How commands print their answers.

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Prints an answer: in JSON, or as what `text` makes of it.
pub fn print<T: Serialize + ?Sized>(
    out: &mut impl Write,
    json: bool,
    answer: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? + "\n" } else { text(answer) };
    write(out, &text)
}

/// Writes text that is complete.
pub fn write(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `privatelink flows | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the answer"),
    }
}
