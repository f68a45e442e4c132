//! What moves connections: rules, time, and the decisions of people.

use std::collections::BTreeSet;

use super::connections::{Connections, unknown};
use crate::{
    access::{Caller, Denied},
    api::request::Refused,
    chain::Chain,
    events::{Event, of_connections},
    model::{Model, Name},
    state::{
        self, Change, State, Store,
        connection::{self, Acceptance, Connection, Decision, Impossible, Parties, rules_of},
    },
    timestamp::{ClockOffset, Moment, Timestamp},
};

/// Applies rules and time to every connection, and keeps the outcome.
pub(in crate::daemon) fn settle(
    model: &Model,
    store: &mut dyn Store,
    at: Moment,
) -> Result<Vec<Event>, state::Error> {
    let now = at.now;
    let beside = store.beside(None, BTreeSet::new());
    let mut changed = Vec::new();
    for (name, connection) in &store.state().connections {
        let rules = model.endpoints().get(name).and_then(|endpoint| rules_of(model, endpoint));
        let Some((_, rules)) = rules else { continue };
        if connection.standing.next(&rules, now).is_some() {
            let mut settled = connection.clone();
            if settled.settle_beside(&rules, now, &beside) {
                changed.push((name.clone(), settled));
            }
        }
    }
    keep(store, changed, at.ahead, |store, changes| store.commit(changes))
}

/// Applies a caller's decision about a connection, for a reason, and keeps the outcome.
pub(in crate::daemon) fn decide(
    model: &Model,
    store: &mut dyn Store,
    caller: &Caller,
    endpoint: &str,
    (decision, reason): (Decision, String),
    at: Moment,
) -> Result<Vec<Event>, Undecided> {
    let Moment { now, ahead } = at;
    let connections = Connections { model, all: &store.state().connections, backbone: None, at };
    let (name, connection) = connections.find(&caller.rights, endpoint)?;
    match decision {
        Decision::Accept { .. } | Decision::Reject => caller.decides(&connection.parties)?,
        Decision::Request => caller.requests(&connection.parties)?,
    }
    let rules = connections.rules(name).ok_or_else(|| unknown(endpoint, None))?;
    let (name, mut connection) = (name.clone(), connection.clone());
    connection
        .decide(decision, caller.author.clone(), reason, &rules, now)
        .map_err(|impossible| Refused::Failed(explain(&name, &connection, impossible)))?;
    let changed = vec![(name, connection)];
    match keep(store, changed.clone(), ahead, |store, changes| store.commit(changes)) {
        // Denial is the safe direction: it acts here at once, and the group learns of it later.
        Err(state::Error::Unreachable(_) | state::Error::Uncertain(_))
            if decision == Decision::Reject =>
        {
            Ok(keep(store, changed, ahead, |store, changes| store.commit_here(changes))?)
        }
        kept => Ok(kept?),
    }
}

/// Why a decision was not made.
#[derive(Debug)]
pub(in crate::daemon) enum Undecided {
    /// The caller may not, or it cannot be decided so.
    Refused(Refused),
    /// The store does not keep it.
    Unkept(state::Error),
}

impl From<Refused> for Undecided {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Denied> for Undecided {
    fn from(denied: Denied) -> Self {
        Self::Refused(denied.into())
    }
}

impl From<state::Error> for Undecided {
    fn from(error: state::Error) -> Self {
        Self::Unkept(error)
    }
}

impl From<Undecided> for Refused {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Refused(refused) => refused,
            Undecided::Unkept(error) => Self::Failed(Chain(&error).to_string()),
        }
    }
}

/// When time alone next changes what packets of some connection or draining target meet.
pub(in crate::daemon) fn deadline(
    model: &Model,
    state: &State,
    now: Timestamp,
) -> Option<Timestamp> {
    let connections = connection::deadline(&state.connections, model, now);
    connections.into_iter().chain(state.drains.deadline(now)).min()
}

/// Commits connections that have changed; returns the events.
fn keep(
    store: &mut dyn Store,
    changed: Vec<(Name, Connection)>,
    ahead: ClockOffset,
    commit: impl FnOnce(&mut dyn Store, Vec<Change>) -> Result<(), state::Error>,
) -> Result<Vec<Event>, state::Error> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let connections = &store.state().connections;
    let before = changed.iter().filter_map(|(name, _)| connections.get_key_value(name));
    let before = before.map(|(name, one)| (name.clone(), one.clone())).collect();
    let after = changed.iter().cloned().collect();
    let changes = changed
        .into_iter()
        .map(|(name, connection)| Change::Connection(name, Some(Box::new(connection))));
    commit(store, changes.collect())?;
    Ok(of_connections(&before, &after, ahead))
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
            "the connection of `{endpoint}` is {acceptance}: only an expired one can be requested \
             again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Rights,
        config,
        host::HostFacts,
        state::{MemoryStore, connection::Author},
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn manual() -> Model {
        let text = include_str!("../../desired/tests.toml").replacen(
            "# rules",
            "acceptance = \"manual\"\nallow = [\"acme\"]",
            1,
        );
        config::from_text("t.toml", &text).unwrap().model
    }

    fn store(model: &Model) -> MemoryStore {
        let mut store = MemoryStore::default();
        let mut state = State::default();
        let inputs = state.inputs.clone();
        state.follow(model, &HostFacts::default(), &inputs, NOW).unwrap();
        let changes = store.state().changes_to(&state);
        store.commit(changes).unwrap();
        store
    }

    fn caller(principal: &str) -> Caller {
        let author = Author::User { uid: 7, name: None };
        Caller { author, rights: Rights::Of([principal.parse().unwrap()].into()) }
    }

    #[test]
    fn a_decision_is_kept_before_it_is_reported() {
        let (model, accept) = (manual(), Decision::Accept { period: None });
        let mut store = store(&model);
        let at = Moment { now: NOW, ahead: ClockOffset::default() };
        let mut decide = |who: &str| {
            let what = (accept, "fine".to_owned());
            decide(&model, &mut store, &caller(who), "acme-web", what, at)
        };
        assert!(
            matches!(decide("acme"), Err(Undecided::Refused(Refused::Forbidden(_)))),
            "only the provider may"
        );
        assert!(
            matches!(decide("globex"), Err(Undecided::Refused(Refused::Unknown(_)))),
            "it is not theirs to see"
        );
        let events = decide("vendor").unwrap();
        assert_eq!(events.len(), 1, "{events:?}");
        let kept = store.state().connections.get("acme-web").unwrap();
        assert_eq!(kept.standing.acceptance(), Acceptance::Available);
        assert_eq!(settle(&model, &mut store, at).unwrap(), []);
    }
}
