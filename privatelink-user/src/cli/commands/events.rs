//! `privatelink events`: what has changed.

use std::io::{self, Write};

use anyhow::Result;

use super::print;
use crate::{
    cli::{
        args::{Cli, EventsArgs},
        client,
    },
    interface::{path, types::Event},
};

/// Prints the events that are asked for, and those that follow.
pub(super) fn events(cli: &Cli, args: &EventsArgs, out: &mut impl Write) -> Result<()> {
    let mut query = format!("?limit={}", args.limit);
    if let Some(after) = args.after {
        query += &format!("&after={after}");
    }
    if let Some(kind) = &args.kind {
        query += &format!("&kind={kind}");
    }
    let socket = cli.daemon_socket();
    if !args.follow {
        let events: Vec<Event> = client::get(&socket, &(path::EVENTS.to_owned() + &query))?;
        return print(out, cli.json, &events, |events| {
            events.iter().map(|event| line(event) + "\n").collect()
        });
    }
    let followed = client::follow(&socket, &(path::FOLLOW.to_owned() + &query), |event: Event| {
        let line = if cli.json { serde_json::to_string(&event)? } else { line(&event) };
        writeln!(out, "{line}").and_then(|()| out.flush())
    });
    match followed {
        // Whoever read this has seen enough.
        Err(client::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        followed => Ok(followed?),
    }
}

fn line(event: &Event) -> String {
    format!("{:>6}  {}  {}", event.number, event.time, event.text)
}
