//! Connections in a running gateway: what time and people do to them.

use log::info;
use tokio::time::Instant;

use super::Running;
use crate::{
    connection::{Connection, Transition, rules_of},
    model::Name,
    state::{self, Change},
    timestamp::Timestamp,
};

impl Running {
    /// When the gateway must look again because time changes something; `None` if it does not.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| Instant::now() + deadline.since(Timestamp::now()))
    }

    /// Has rules and time take their course on every connection, and keeps what comes of it.
    pub(super) fn settle(&mut self) -> Result<(), state::Error> {
        let now = Timestamp::now();
        let model = &self.loaded.model;
        let connections = &self.store.state().connections;
        let mut changes = Vec::new();
        for (name, connection) in connections {
            let rules = model.endpoints().get(name).and_then(|e| rules_of(model, e));
            let Some((_, rules)) = rules else { continue };
            if connection.standing.next(&rules, now).is_some() {
                let mut settled = connection.clone();
                settled.settle(&rules, now);
                changes.push((name.clone(), settled));
            }
        }
        self.keep_connections(changes)
    }

    /// Keeps connections as they have become, and tells the log.
    fn keep_connections(&mut self, changed: Vec<(Name, Connection)>) -> Result<(), state::Error> {
        if changed.is_empty() {
            return Ok(());
        }
        let mut news = Vec::new();
        for (name, connection) in &changed {
            let before = self.store.state().connections.get(name);
            let known = before.and_then(|before| before.history.last());
            let new = connection.history.iter().rev().take_while(|step| Some(*step) != known);
            let mut new: Vec<String> = new.map(|step| words(name, step)).collect();
            new.reverse();
            news.extend(new);
        }
        let changes = changed
            .into_iter()
            .map(|(name, connection)| Change::Connection(name, Some(Box::new(connection))));
        self.store.commit(changes.collect())?;
        news.iter().for_each(|line| info!("{line}"));
        Ok(())
    }
}

fn words(endpoint: &Name, step: &Transition) -> String {
    let until = step.until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!("connection {endpoint}: {}{until} by {}: {}", step.to, step.by, step.reason)
}
