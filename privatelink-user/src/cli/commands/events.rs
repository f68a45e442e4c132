//! `privatelink events`: what has changed.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use crate::{
    cli::{client, globals::Globals, print::print},
    config::suggestion,
    events::Kind,
    interface::{
        path,
        types::{Event, EventQuery},
    },
};

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Print new events as they happen
    #[arg(long)]
    pub follow: bool,

    /// Only events with a higher number than this
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,

    /// Only events of this kind, or of a group of kinds such as `connection`
    #[arg(long, value_name = "KIND", value_parser = event_kind)]
    pub kind: Option<String>,

    /// The most past events to print
    #[arg(
        long,
        value_name = "N",
        default_value_t = EventQuery::DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=EventQuery::MAX_LIMIT as i64),
    )]
    pub limit: u32,
}

fn event_kind(text: &str) -> Result<String, String> {
    if Kind::is_word(text) {
        return Ok(text.to_owned());
    }
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    Err(match suggestion(text, &words) {
        Some(meant) => meant,
        None => format!("the kinds are, by group:{}", groups(&words)),
    })
}

/// The kinds in groups, a group on a line: those whose words begin alike, and which the first part
/// names together.
fn groups(words: &[&str]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for word in words {
        let group = word.split('-').next().unwrap_or_default();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, members)) => members.push(word),
            None => groups.push((group, vec![word])),
        }
    }
    groups.iter().map(|(name, all)| format!("\n  {name}: {}", all.join(", "))).collect()
}

impl EventsArgs {
    /// Prints the events that are asked for, and those that follow.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let query =
            EventQuery { after: self.after, kind: self.kind.clone(), limit: Some(self.limit) };
        let daemon = globals.daemon();
        if !self.follow {
            let path = client::with_query(path::EVENTS, &query)?;
            let events: Vec<Event> = client::get(&daemon, &path)?;
            return print(out, globals.json, &events, |events| {
                events.iter().map(|event| line(event) + "\n").collect()
            });
        }
        let path = client::with_query(path::FOLLOW, &query)?;
        let followed = client::follow(&daemon, &path, |event: Event| {
            let line = if globals.json { serde_json::to_string(&event)? } else { line(&event) };
            writeln!(out, "{line}").and_then(|()| out.flush())
        });
        match followed {
            // `privatelink events --follow | head` is no failure.
            Err(client::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            followed => Ok(followed?),
        }
    }
}

fn line(event: &Event) -> String {
    format!("{:>6}  {}  {}", event.number, event.time, event.text)
}
