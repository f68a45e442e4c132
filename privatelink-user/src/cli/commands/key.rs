//! `privatelink key`: access keys, with which callers on other hosts come in.

use std::{io::Write, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::table::Table;
use crate::{
    cli::{age::age, client, globals::Globals, print::print},
    interface::{
        path,
        types::{AccessKey, MadeKey, NewKey},
    },
    timestamp::Timestamp,
};

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key; it is the last word that is printed, and is shown this once
    Create(CreateArgs),
    /// List the keys
    List,
    /// Revoke a key at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The principal that the key acts for
    #[arg(long, value_name = "NAME", required_unless_present = "administrator")]
    pub principal: Option<String>,

    /// Make a key that acts for the gateway's administrators
    #[arg(long, conflicts_with = "principal")]
    pub administrator: bool,

    /// How long the key can be used, such as 90d [default: until it is revoked]
    #[arg(long = "expires", value_name = "DURATION", value_parser = key_period)]
    pub period: Option<Duration>,

    /// Make a key that can only read
    #[arg(long)]
    pub read_only: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The key's id, as `privatelink key list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

fn key_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text)
        .map_err(|_| "use a number and a unit, such as 12h or 90d".to_owned())?;
    if (1..=NewKey::LONGEST).contains(&period.as_secs()) {
        Ok(period)
    } else {
        Err("use a duration from 1 second to 10 years".into())
    }
}

impl KeyArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        match &self.command {
            Command::Create(args) => {
                let wanted = NewKey {
                    principal: args.principal.clone(),
                    administrator: args.administrator,
                    read_only: args.read_only,
                    expires_in_seconds: args.period.map(|period| period.as_secs()),
                };
                let made: MadeKey = client::send(&daemon, path::KEYS, &wanted)?;
                print(out, globals.json, &made, shown_once)
            }
            Command::List => {
                let keys: Vec<AccessKey> = client::get(&daemon, path::KEYS)?;
                print(out, globals.json, &keys, |keys| table(keys))
            }
            Command::Revoke(args) => {
                let path = path::of(path::KEY, &client::name(&args.id)?);
                let revoked: AccessKey = client::delete(&daemon, &path)?;
                print(out, globals.json, &revoked, |key| {
                    format!("the key {} of {} is revoked\n", key.id, holder(key))
                })
            }
        }
    }
}

fn shown_once(made: &MadeKey) -> String {
    let MadeKey { key, secret } = made;
    let end = key
        .expires
        .as_ref()
        .map_or_else(|| "until it is revoked".to_owned(), |end| format!("until {end}"));
    let what = if key.read_only { " may only read, and" } else { "" };
    format!(
        "the key {} of {}{what} is good {end}; it is not shown again:\n{secret}\n",
        key.id,
        holder(key)
    )
}

fn holder(key: &AccessKey) -> &str {
    key.principal.as_deref().unwrap_or("administrators")
}

fn table(keys: &[AccessKey]) -> String {
    let heading = ["ID", "PRINCIPAL", "MAY", "CREATED", "BY", "EXPIRES", "LAST USED", "FROM"];
    let mut table = Table::new(&heading, &[]);
    let now = Timestamp::now();
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let since = |time: &Option<String>| age(&or_dash(time), now);
    if keys.is_empty() {
        return "no access keys: make one with `privatelink key create`\n".into();
    }
    for key in keys {
        table.row([
            key.id.clone(),
            holder(key).to_owned(),
            if key.read_only { "read" } else { "write" }.to_owned(),
            age(&key.created, now),
            key.by.clone(),
            since(&key.expires),
            since(&key.last_used),
            or_dash(&key.last_address),
        ]);
    }
    table.render(0)
}
