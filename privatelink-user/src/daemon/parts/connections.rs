//! Connections as callers see them.

use privatelink_common::Admission;

use super::backbone::Backbone;
use crate::{
    access::Rights,
    api::request::Refused,
    config::suggestion,
    interface::types,
    model::{Model, Name, Url, redacted},
    state::connection::{self, Author, Connection, Rules, Transition, rules_of},
    timestamp::{ClockOffset, Moment},
};

/// All connections, and what the configuration says about them.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Connections<'a> {
    /// The configuration.
    pub model: &'a Model,
    /// The connections.
    pub all: &'a connection::Connections,
    /// What other sites have decided; `None` where that is not asked for.
    pub backbone: Option<&'a Backbone>,
    /// The time.
    pub at: Moment,
}

impl<'a> Connections<'a> {
    /// The connections that the caller may see, without their history.
    pub fn list(&self, rights: &Rights) -> Vec<types::Connection> {
        let seen = self.all.iter().filter(|(_, one)| rights.see_connection(&one.parties));
        seen.map(|(name, connection)| self.summary(name, connection)).collect()
    }

    /// One connection, with its history.
    pub fn describe(&self, rights: &Rights, endpoint: &str) -> Result<types::Connection, Refused> {
        let (name, connection) = self.find(rights, endpoint)?;
        let history = connection.history.iter().map(|one| step(one, self.at.ahead)).collect();
        Ok(types::Connection { history, ..self.summary(name, connection) })
    }

    /// The connection of an endpoint. One that the caller may not see reads as unknown.
    pub fn find(
        &self,
        rights: &Rights,
        endpoint: &str,
    ) -> Result<(&'a Name, &'a Connection), Refused> {
        let sees = |connection: &Connection| rights.see_connection(&connection.parties);
        let found = self.all.get_key_value(endpoint).filter(|(_, one)| sees(one));
        found.ok_or_else(|| {
            let seen = self.all.iter().filter(|(_, one)| sees(one));
            unknown(endpoint, suggestion(endpoint, seen.map(|(name, _)| name.as_str())))
        })
    }

    /// What the configuration says about the connection of an endpoint.
    pub fn rules(&self, endpoint: &Name) -> Option<Rules> {
        Some(rules_of(self.model, self.model.endpoints().get(endpoint)?)?.1)
    }

    fn summary(&self, name: &Name, connection: &Connection) -> types::Connection {
        let rules = self.rules(name);
        let Moment { now, ahead } = self.at;
        let until = rules.and_then(|rules| connection.standing.end(&rules));
        let admission = rules.map(|rules| connection.admission(&rules, now));
        let last = connection.history.last();
        let message = self.model.endpoints().get(name).and_then(|one| one.message.as_ref());
        let decided = self.backbone.and_then(|one| one.decision(&connection.parties.service));
        types::Connection {
            endpoint: name.to_string(),
            service: connection.parties.service.to_string(),
            principal: connection.parties.consumer.to_string(),
            state: connection.standing.acceptance().word().to_owned(),
            site_state: decided.map(str::to_owned),
            since: ahead.shown(connection.since).to_string(),
            reason: connection.reason().to_owned(),
            message: message.map(|line| redacted(line.as_str(), Url::Query)),
            provider: connection.parties.provider.to_string(),
            network: connection.parties.network.to_string(),
            by: last.map(|last| last.by.to_string()).unwrap_or_default(),
            until: until.map(|until| ahead.shown(until).to_string()),
            draining: admission == Some(Admission::Draining),
            history: Vec::new(),
            unconfirmed: Vec::new(),
        }
    }
}

/// There is no such endpoint, but maybe one with a similar name.
pub(in crate::daemon) fn unknown(endpoint: &str, suggestion: Option<String>) -> Refused {
    let see = || "see `privatelink connections`".to_owned();
    let help = suggestion.unwrap_or_else(see);
    Refused::Unknown(format!("there is no endpoint `{endpoint}`; {help}"))
}

fn step(step: &Transition, ahead: ClockOffset) -> types::Step {
    let uid = match step.by {
        Author::User { uid, .. } => Some(uid),
        Author::Rule | Author::Key { .. } | Author::Certificate { .. } => None,
    };
    types::Step {
        at: ahead.shown(step.at).to_string(),
        by: step.by.to_string(),
        uid,
        from: step.from.map(|from| from.word().to_owned()),
        to: step.to.word().to_owned(),
        until: step.until.map(|until| ahead.shown(until).to_string()),
        reason: step.reason.clone(),
    }
}
