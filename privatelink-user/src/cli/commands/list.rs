//! Commands that list all objects of a kind, or show one in detail.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cli::{client, globals::Globals, print::print},
    interface::path,
};

#[derive(Debug, Args)]
pub struct NameArgs {
    /// Show only this one, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// The objects of a kind: where the daemon has them, and how they are printed.
pub struct Objects<T> {
    /// The path of all of them.
    pub all: &'static str,
    /// The path of one.
    pub one: &'static str,
    /// All of them as a table.
    pub table: fn(&[T]) -> String,
    /// One in detail.
    pub detail: fn(&T) -> String,
}

impl<T: Serialize + DeserializeOwned> Objects<T> {
    /// Prints all objects, or the one that is named.
    pub fn print(&self, globals: &Globals, args: &NameArgs, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        match &args.name {
            None => {
                let all: Vec<T> = client::get(&daemon, self.all)?;
                print(out, globals.json, &all, |all| (self.table)(all))
            }
            Some(name) => {
                let path = path::of(self.one, &client::name(name)?);
                let one: T = client::get(&daemon, &path)?;
                print(out, globals.json, &one, self.detail)
            }
        }
    }
}
