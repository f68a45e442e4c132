//! Connections: the relation of an endpoint to its service, and the decisions about it.
//!
//! The configuration gives [`Rules`], people make [`Decision`]s, and time passes: a connection's
//! [`Standing`] follows from these three, and the admission of its packets follows from that.
//! Nothing here reads a clock or a file.

mod rules;
mod standing;

use std::{collections::BTreeMap, fmt};

use privatelink_common::Admission;
use serde::{Deserialize, Serialize};

use super::{
    beside::Beside,
    key_holder::{Holder, KeyId},
};
use crate::{
    model::{Endpoint, Line, Model, Name, Url, redacted},
    timestamp::Timestamp,
};

pub use rules::{Rule, Rules, rules_of};
pub use standing::{Acceptance, Cause, Decision, Impossible, Standing};

/// How many transitions are remembered of one connection; older ones are in the daemon's log.
pub const HISTORY: usize = 100;

/// Every connection, by the name of its endpoint.
pub type Connections = BTreeMap<Name, Connection>;

/// The parties of a connection. If any of them changes, it is another connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// Name of the service.
    pub service: Name,
    /// The provider, which decides.
    pub provider: Name,
    /// The network of the endpoint.
    pub network: Name,
    /// The consumer, which asks.
    pub consumer: Name,
}

impl Parties {
    /// The parties of an endpoint's connection.
    pub fn of(model: &Model, endpoint: &Endpoint) -> Option<Self> {
        Some(Self {
            service: endpoint.service.clone(),
            provider: model.services().get(&endpoint.service)?.principal.clone(),
            network: endpoint.network.clone(),
            consumer: model.networks().get(&endpoint.network)?.principal.clone(),
        })
    }
}

/// Who caused a change of standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// The configuration, or time.
    Rule,
    /// A unix user.
    User {
        /// The user's number.
        uid: u32,
        /// The name that the number had then.
        name: Option<String>,
    },
    /// The holder of an access key.
    Key {
        /// The key.
        id: KeyId,
        /// Whom it acts for.
        holder: Holder,
    },
    /// The holder of a client certificate.
    Certificate {
        /// The certificate's SHA-256.
        digest: String,
        /// Whom it acts for.
        holder: Holder,
    },
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("rule"),
            Self::User { name: Some(name), .. } => f.write_str(name),
            Self::User { uid, name: None } => write!(f, "uid {uid}"),
            Self::Key { id, holder } => write!(f, "key {id} of {holder}"),
            Self::Certificate { digest, holder } => {
                // A part is enough to tell certificates apart.
                let part = digest.get(..16).unwrap_or(digest);
                write!(f, "certificate {part} of {holder}")
            }
        }
    }
}

/// A change of a connection's standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it.
    pub by: Author,
    /// The standing before; `None` for the first request.
    pub from: Option<Acceptance>,
    /// The standing after.
    pub to: Acceptance,
    /// When the new standing ends by itself.
    pub until: Option<Timestamp>,
    /// The reason that was given, for people.
    pub reason: String,
}

/// When time alone ends what a connection lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// When new flows are refused.
    pub grant: Option<Timestamp>,
    /// When the flows that it had end, if that is later.
    pub drain: Option<Timestamp>,
    /// The acceptance after both.
    pub after: Acceptance,
}

/// A connection and its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The principals, the service and the network that it connects.
    pub parties: Parties,
    /// Its current standing.
    pub standing: Standing,
    /// Since when its acceptance has been the current one.
    pub since: Timestamp,
    /// The latest changes of its standing, the most recent last.
    pub history: Vec<Transition>,
}

impl Connection {
    /// A connection that is requested now, with the rules applied.
    pub fn requested(
        parties: Parties,
        message: Option<&Line>,
        rules: &Rules,
        now: Timestamp,
    ) -> Self {
        let standing = Standing::requested(now);
        let mut connection = Self { parties, standing, since: now, history: Vec::new() };
        connection.history.push(Transition {
            at: now,
            by: Author::Rule,
            from: None,
            to: Acceptance::Pending,
            until: standing.end(rules),
            // It is shown to both parties, logged and sent to subscribers.
            reason: message
                .map_or_else(|| "requested".into(), |line| redacted(line.as_str(), Url::Query)),
        });
        connection.settle(rules, now);
        connection
    }

    /// Applies rules and time; returns whether they changed anything.
    pub fn settle(&mut self, rules: &Rules, now: Timestamp) -> bool {
        self.settle_beside(rules, now, &Beside::none())
    }

    /// As [`Connection::settle`], beside other gateways: where they have other rules, only time
    /// counts. Two gateways would otherwise move a connection to and fro. What packets meet
    /// follows from the rules of the gateway that they reach even so.
    pub fn settle_beside(&mut self, rules: &Rules, now: Timestamp, beside: &Beside) -> bool {
        let mut changed = false;
        while let Some((standing, cause)) = self.standing.next(rules, now)
            && !(beside.spares_all() && cause.is_a_rule())
        {
            self.enter(standing, rules, now, Author::Rule, cause.words().into());
            changed = true;
        }
        changed
    }

    /// Applies a decision.
    ///
    /// # Errors
    /// When the current standing does not allow it; only [`Self::settle`] has changed anything
    /// then.
    pub fn decide(
        &mut self,
        decision: Decision,
        by: Author,
        reason: String,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<(), Impossible> {
        self.settle(rules, now);
        let standing = self.standing.decide(decision, rules, now)?;
        self.enter(standing, rules, now, by, reason);
        self.settle(rules, now);
        Ok(())
    }

    /// The admission of its packets.
    pub fn admission(&self, rules: &Rules, now: Timestamp) -> Admission {
        self.standing_at(rules, now).admission(now)
    }

    /// The standing in force: a grant that has ended lets no packets pass, even if the disk has not
    /// accepted that yet.
    fn standing_at(&self, rules: &Rules, now: Timestamp) -> Standing {
        let mut standing = self.standing;
        while let Some((next, _)) = standing.next(rules, now) {
            standing = next;
        }
        standing
    }

    /// When time alone ends what this lets pass; `None` if it does not.
    pub fn ends(&self, rules: &Rules, now: Timestamp) -> Option<Ends> {
        let standing = self.standing_at(rules, now);
        let after = match standing {
            Standing::Rejected { .. } => Acceptance::Rejected,
            Standing::Pending { .. } | Standing::Available { .. } | Standing::Expired { .. } => {
                Acceptance::Expired
            }
        };
        match standing {
            Standing::Available { until: Some(until) } => {
                Some(Ends { grant: Some(until), drain: rules.drain_from(until), after })
            }
            Standing::Rejected { drain: Some(drain), .. }
            | Standing::Expired { drain: Some(drain) }
                if now < drain =>
            {
                Some(Ends { grant: None, drain: Some(drain), after })
            }
            Standing::Pending { .. }
            | Standing::Available { .. }
            | Standing::Rejected { .. }
            | Standing::Expired { .. } => None,
        }
    }

    /// The reason of the latest change.
    pub fn reason(&self) -> &str {
        self.history.last().map_or("", |transition| &transition.reason)
    }

    fn enter(
        &mut self,
        standing: Standing,
        rules: &Rules,
        now: Timestamp,
        by: Author,
        reason: String,
    ) {
        let (from, to) = (self.standing.acceptance(), standing.acceptance());
        if from != to {
            self.since = now;
        }
        self.standing = standing;
        let until = standing.end(rules);
        self.history.push(Transition { at: now, by, from: Some(from), to, until, reason });
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
    }
}

/// Updates connections to the configuration and the clock: requests those of new endpoints,
/// forgets those of removed endpoints, and settles the others.
pub fn follow(connections: &mut Connections, model: &Model, now: Timestamp, beside: &Beside) {
    let is_known = |name: &Name| model.endpoints().contains_key(name);
    connections.retain(|name, _| is_known(name) || beside.spares(name.as_str()));
    for (name, endpoint) in model.endpoints() {
        let (Some(parties), Some((_, rules))) =
            (Parties::of(model, endpoint), rules_of(model, endpoint))
        else {
            continue;
        };
        match connections.get_mut(name) {
            Some(connection) if connection.parties == parties => {
                connection.settle_beside(&rules, now, beside);
            }
            Some(_) | None => {
                let requested =
                    Connection::requested(parties, endpoint.message.as_ref(), &rules, now);
                connections.insert(name.clone(), requested);
            }
        }
    }
}

/// The next moment at which time alone changes the admission of some connection.
pub fn deadline(connections: &Connections, model: &Model, now: Timestamp) -> Option<Timestamp> {
    let ends = connections.iter().filter_map(|(name, connection)| {
        let (_, rules) = rules_of(model, model.endpoints().get(name)?)?;
        connection.standing_at(&rules, now).deadline(&rules, now).filter(|end| now < *end)
    });
    ends.min()
}

#[cfg(test)]
mod tests;
