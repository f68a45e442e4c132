//! `privatelink metrics`.

use std::io::Write;

use anyhow::Result;

use crate::{
    cli::{client, globals::Globals},
    interface::path,
};

/// Prints the metrics that the caller may see.
pub fn run(globals: &Globals, out: &mut impl Write) -> Result<()> {
    client::copy(&globals.daemon(), path::METRICS, out)?;
    Ok(())
}
