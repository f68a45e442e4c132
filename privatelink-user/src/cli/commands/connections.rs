//! `privatelink connections`, `accept`, `reject` and `request`: connections, and decisions about
//! them.

use std::{io::Write, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    detail,
    list::{NameArgs, Objects},
    show,
};
use crate::{
    cli::{client, globals::Globals, print::print},
    interface::{
        path,
        types::{Connection, Endpoint, Grant, Reasoned},
    },
    state::connection::Acceptance,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the connections, or show one with its history
    Connections(NameArgs),
    /// Accept the connection of an endpoint: the provider's decision
    Accept(AcceptArgs),
    /// Reject the connection of an endpoint: the provider's decision
    Reject(DecisionArgs),
    /// Request an expired connection again: the consumer's part
    Request(DecisionArgs),
}

#[derive(Debug, Args)]
pub struct DecisionArgs {
    /// The endpoint whose connection it is
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,

    /// The reason, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct AcceptArgs {
    #[command(flatten)]
    pub decision: DecisionArgs,

    /// How long the connection stays available, such as 7d or "12h 30m" [default: until it is
    /// rejected]
    #[arg(long = "for", value_name = "DURATION", value_parser = grant_period,
        allow_hyphen_values = true)]
    pub period: Option<Duration>,
}

fn grant_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text)
        .map_err(|_| "use a number and a unit, such as 30m, 12h or 7d".to_owned())?;
    if (1..=Grant::LONGEST).contains(&period.as_secs()) {
        Ok(period)
    } else {
        Err("use a duration from 1 second to 10 years".into())
    }
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        match self {
            Self::Connections(args) => {
                let (table, detail) = (show::connections, detail::connection);
                let connections =
                    Objects { all: path::CONNECTIONS, one: path::CONNECTION, table, detail };
                connections.print(globals, args, out)
            }
            Self::Accept(AcceptArgs { decision, period }) => {
                let reason = decision.reason.clone();
                let grant = Grant { reason, for_seconds: period.map(|period| period.as_secs()) };
                decide(globals, path::ACCEPT, &decision.endpoint, &grant, out)
            }
            Self::Reject(args) => decide(globals, path::REJECT, &args.endpoint, &args.body(), out),
            Self::Request(args) => {
                decide(globals, path::REQUEST, &args.endpoint, &args.body(), out)
            }
        }
    }
}

impl DecisionArgs {
    fn body(&self) -> Reasoned {
        Reasoned { reason: self.reason.clone() }
    }
}

/// Makes the daemon decide about a connection, and prints the state after that.
fn decide(
    globals: &Globals,
    path: &str,
    endpoint: &str,
    body: &impl Serialize,
    out: &mut impl Write,
) -> Result<()> {
    let name = client::name(endpoint)?;
    let path = path::of(path, &name);
    let daemon = globals.daemon();
    let decided: Connection = client::send(&daemon, &path, body)?;
    print(out, globals.json, &decided, |decided| {
        let path = path::of(path::ENDPOINT, &name);
        let is_available = decided.state == Acceptance::Available.word();
        // It is no failure of the decision if its endpoint cannot be shown.
        let found = is_available.then(|| client::get::<Endpoint>(&daemon, &path).ok()).flatten();
        let late = decided.unconfirmed.join(", ");
        let late = if late.is_empty() {
            String::new()
        } else {
            format!("not yet confirmed by {late}: see `privatelink fleet`\n")
        };
        show::decided(decided) + &late + &found.as_ref().map(show::reached).unwrap_or_default()
    })
}
