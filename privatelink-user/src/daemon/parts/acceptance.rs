//! Connections in a running gateway: what time and people do to them, and what is told of them.

use privatelink_common::Admission;
use tokio::time::Instant;

use crate::daemon::gateway::Gateway;
use crate::{
    access::Caller,
    api::request::Refused,
    chain::Chain,
    config::suggestion,
    events::of_connections,
    interface::types,
    model::Name,
    state::{
        self, Change,
        connection::{
            Acceptance, Author, Connection, Decision, Impossible, Parties, Rules, Transition,
            rules_of,
        },
    },
    timestamp::Timestamp,
};

impl Gateway {
    /// When the gateway must look again because time changes something; `None` if it does not.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| Instant::now() + deadline.since(Timestamp::now()))
    }

    /// Has rules and time take their course on every connection, and keeps what comes of it.
    pub(in crate::daemon) fn settle(&mut self) -> Result<(), state::Error> {
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

    /// The connections that the caller may see.
    pub fn connections(&self, caller: &Caller) -> Vec<types::Connection> {
        let seen = self.store.state().connections.iter();
        let seen = seen.filter(|(_, one)| caller.rights.see_connection(&one.parties));
        let now = Timestamp::now();
        seen.map(|(name, connection)| self.told(name, connection, now)).collect()
    }

    /// One connection, with its history.
    pub fn connection(
        &self,
        caller: &Caller,
        endpoint: &str,
    ) -> Result<types::Connection, Refused> {
        let (name, connection) = self.seen(caller, endpoint)?;
        let mut told = self.told(name, connection, Timestamp::now());
        told.history = connection.history.iter().map(step).collect();
        Ok(told)
    }

    /// Has somebody decide about a connection. Once this returns, the decision is on disk and in
    /// the maps.
    pub fn decide(
        &mut self,
        caller: &Caller,
        endpoint: &str,
        decision: Decision,
        reason: String,
    ) -> Result<types::Connection, Refused> {
        let (name, connection) = self.seen(caller, endpoint)?;
        match decision {
            Decision::Accept { .. } | Decision::Reject => caller.decides(&connection.parties)?,
            Decision::Request => caller.requests(&connection.parties)?,
        }
        let rules = self.rules(name).ok_or_else(|| unknown(endpoint, None))?;
        let (name, mut connection) = (name.clone(), connection.clone());
        let by = caller.author.clone();
        connection
            .decide(decision, by, reason, &rules, Timestamp::now())
            .map_err(|impossible| Refused::Failed(explain(&name, &connection, impossible)))?;
        let keep = self.keep_connections(vec![(name, connection)]);
        keep.map_err(|error| Refused::Failed(Chain(&error).to_string()))?;
        self.write_maps().map_err(|error| {
            let error = Chain(&error);
            Refused::Failed(format!("decided, but not yet in force; it is tried again: {error}"))
        })?;
        self.publish();
        self.connection(caller, endpoint)
    }

    /// A connection that the caller may see; one that it may not is as good as none.
    fn seen(&self, caller: &Caller, endpoint: &str) -> Result<(&Name, &Connection), Refused> {
        let all = &self.store.state().connections;
        let found = all.get_key_value(endpoint);
        let found = found.filter(|(_, one)| caller.rights.see_connection(&one.parties));
        found.ok_or_else(|| {
            let seen = all.iter().filter(|(_, one)| caller.rights.see_connection(&one.parties));
            unknown(endpoint, suggestion(endpoint, seen.map(|(name, _)| name.as_str())))
        })
    }

    fn rules(&self, endpoint: &Name) -> Option<Rules> {
        let model = &self.loaded.model;
        Some(rules_of(model, model.endpoints().get(endpoint)?)?.1)
    }

    fn told(&self, name: &Name, connection: &Connection, now: Timestamp) -> types::Connection {
        let rules = self.rules(name);
        let admission = rules.map(|rules| connection.admission(&rules, now));
        let last = connection.history.last();
        types::Connection {
            endpoint: name.to_string(),
            service: connection.parties.service.to_string(),
            principal: connection.parties.consumer.to_string(),
            state: connection.standing.acceptance().word().to_owned(),
            since: connection.since.to_string(),
            reason: connection.reason().to_owned(),
            provider: connection.parties.provider.to_string(),
            network: connection.parties.network.to_string(),
            by: last.map(|last| last.by.to_string()).unwrap_or_default(),
            until: rules.and_then(|rules| connection.standing.end(&rules)).map(|u| u.to_string()),
            draining: admission == Some(Admission::Draining),
            history: Vec::new(),
        }
    }

    /// Keeps connections as they have become, and tells of it.
    fn keep_connections(&mut self, changed: Vec<(Name, Connection)>) -> Result<(), state::Error> {
        if changed.is_empty() {
            return Ok(());
        }
        let connections = &self.store.state().connections;
        let before = changed.iter().filter_map(|(name, _)| connections.get_key_value(name));
        let before = before.map(|(name, one)| (name.clone(), one.clone())).collect();
        let after = changed.iter().cloned().collect();
        let changes = changed
            .into_iter()
            .map(|(name, connection)| Change::Connection(name, Some(Box::new(connection))));
        self.store.commit(changes.collect())?;
        self.events.publish_all(of_connections(&before, &after));
        Ok(())
    }
}

fn unknown(endpoint: &str, suggestion: Option<String>) -> Refused {
    let see = || "see `privatelink connections`".to_owned();
    let help = suggestion.unwrap_or_else(see);
    Refused::Unknown(format!("there is no endpoint `{endpoint}`; {help}"))
}

fn explain(endpoint: &Name, connection: &Connection, impossible: Impossible) -> String {
    let Parties { service, consumer, .. } = &connection.parties;
    match impossible {
        Impossible::NotAllowed => format!(
            "the service `{service}` does not allow `{consumer}`: add it to the service's `allow` \
             and reload"
        ),
        Impossible::NotExpired(Acceptance::Rejected) => {
            format!("the connection of `{endpoint}` is rejected: only the provider can change that")
        }
        Impossible::NotExpired(acceptance) => format!(
            "the connection of `{endpoint}` is {acceptance}: only an expired one can be asked for \
             again"
        ),
    }
}

fn step(step: &Transition) -> types::Step {
    let uid = match step.by {
        Author::User { uid, .. } => Some(uid),
        Author::Rule => None,
    };
    types::Step {
        at: step.at.to_string(),
        by: step.by.to_string(),
        uid,
        from: step.from.map(|from| from.word().to_owned()),
        to: step.to.word().to_owned(),
        until: step.until.map(|until| until.to_string()),
        reason: step.reason.clone(),
    }
}
