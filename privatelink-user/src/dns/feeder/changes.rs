//! Events about the name server, each published once per change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    dns::{
        channel::NOT_ASKED,
        record::{NameClaim, ServedNames},
    },
    events::{Event, Kind},
    interface::types::About,
};

/// How long the server may lag before an event is published.
const STALE: Duration = Duration::from_secs(10);

/// The last published state.
#[derive(Debug, Default)]
pub struct ServerChanges {
    /// Whether the server was up in the latest event; `None` before the first.
    up: Option<bool>,
    /// Since when the server has lagged, and whether an event was published.
    behind: Option<(Instant, bool)>,
    /// Private names with a published conflict.
    conflicts: BTreeSet<String>,
}

impl ServerChanges {
    /// The server is up to date.
    pub fn up(&mut self, networks: usize) -> Option<Event> {
        let text = format!("the name server serves {networks} networks");
        (self.up.replace(true) != Some(true)).then(|| Event::new(Kind::DnsServerUp, text))
    }

    /// The server has exited or cannot be started.
    pub fn down(&mut self, why: &str) -> Option<Event> {
        let text = format!("the name server is down: {why}");
        let about = About { reason: Some(why.to_owned()), ..About::default() };
        let event = || Event::new(Kind::DnsServerDown, text).about(about);
        (self.up.replace(false) != Some(false)).then(event)
    }

    /// There are no names to serve.
    pub fn dismissed(&mut self) -> Option<Event> {
        let changes = Self { up: Some(false), ..Self::default() };
        let before = std::mem::replace(self, changes);
        let event = || {
            Event::new(
                Kind::DnsServerDown,
                "the name server was stopped: there are no names to serve",
            )
        };
        (before.up == Some(true)).then(event)
    }

    /// Notes whether the server lags, and why.
    pub fn look(&mut self, behind: bool, why: &[String], now: Instant) -> Option<Event> {
        if !behind {
            self.behind = None;
            return None;
        }
        let (since, told) = self.behind.get_or_insert((now, false));
        if *told || now < *since + STALE {
            return None;
        }
        *told = true;
        let why = why.first().map_or("it has not accepted the update", String::as_str);
        let text = format!("the name server serves outdated names: {why}");
        let about = About { reason: Some(why.to_owned()), ..About::default() };
        Some(Event::new(Kind::DnsServerStale, text).about(about))
    }

    /// Number of private names that are not served because a claim is not proven.
    pub fn conflicts(&self) -> usize {
        self.conflicts.len()
    }

    /// Notes which of the wanted private names are not served because a claim is not proven.
    pub fn prove(
        &mut self,
        wanted: &BTreeMap<String, ServedNames>,
        unproven: &[(NameClaim, String)],
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut publish = |kind, name: &str, reason: &str, text| {
            let about = About { reason: Some(reason.to_owned()), ..About::default() };
            let mut event = Event::new(kind, text).about(about);
            let provider = wanted.values().find_map(|names| names.providers.get(name));
            if let Some(provider) = provider.and_then(|provider| provider.parse().ok()) {
                event = event.seen_by(&provider);
            }
            events.push(event);
        };
        for (claim, reason) in unproven.iter().filter(|(_, reason)| reason != NOT_ASKED) {
            if self.conflicts.insert(claim.name.clone()) {
                publish(Kind::DnsConflict, &claim.name, reason, unproven_in_words(claim, reason));
            }
        }
        let names: BTreeSet<&String> = unproven.iter().map(|(claim, _)| &claim.name).collect();
        self.conflicts.retain(|name| {
            let lasts = names.contains(name);
            if !lasts {
                let claimed = wanted.values().any(|one| one.providers.contains_key(name));
                let reason = if claimed {
                    "its owner has confirmed the provider"
                } else {
                    "no provider claims it"
                };
                publish(Kind::DnsConflictEnded, name, reason, format!("{name}: {reason}"));
            }
            lasts
        });
        events
    }
}

/// Says that a claim's name is not served, why, and what its owner has to publish.
pub fn unproven_in_words(claim: &NameClaim, reason: &str) -> String {
    let (name, resolver) = (&claim.name, claim.resolver);
    format!("{name} is not served: {reason}; {resolver} must return {claim}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::names;

    fn kinds(events: impl IntoIterator<Item = Event>) -> Vec<Kind> {
        events.into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn each_change_of_the_server_has_one_event() {
        let mut changes = ServerChanges::default();
        assert_eq!(kinds(changes.dismissed()), [], "it never was");
        assert_eq!(kinds(changes.up(2)), [Kind::DnsServerUp]);
        assert_eq!(kinds(changes.up(3)), []);
        assert_eq!(kinds(changes.down("killed")), [Kind::DnsServerDown]);
        assert_eq!(kinds(changes.down("still")), []);
        assert_eq!(kinds(changes.up(2)), [Kind::DnsServerUp]);
        assert_eq!(kinds(changes.dismissed()), [Kind::DnsServerDown]);
        assert_eq!(kinds(ServerChanges::default().down("cannot start")), [Kind::DnsServerDown]);
    }

    #[test]
    fn a_lagging_server_has_one_event() {
        let mut changes = ServerChanges::default();
        let begin = Instant::now();
        let mut look = |behind, seconds| {
            let now = begin + Duration::from_secs(seconds);
            kinds(changes.look(behind, &["port 53 is taken".to_owned()], now))
        };
        for (behind, seconds, events) in [
            (true, 0, 0),
            (true, 9, 0),
            (true, 11, 1),
            (true, 40, 0),
            (false, 41, 0),
            (true, 42, 0),
            (true, 51, 0),
            (true, 53, 1),
        ] {
            assert_eq!(look(behind, seconds).len(), events, "after {seconds} s");
        }
    }

    #[test]
    fn unproven_names_have_events() {
        let mut changes = ServerChanges::default();
        let mut served = names(&[], true);
        served.providers = [("web.internal".to_owned(), "vendor".to_owned())].into();
        served.resolver = Some([192, 0, 2, 53].into());
        let claim = served.claims().next().unwrap();
        let wanted = BTreeMap::from([("acme".to_owned(), served)]);
        let mut prove = |wanted: &_, reasons: &[&str]| {
            let unproven: Vec<_> =
                reasons.iter().map(|reason| (claim.clone(), (*reason).to_owned())).collect();
            let events = changes.prove(wanted, &unproven);
            let vendor = BTreeSet::from(["vendor".parse().unwrap()]);
            events.into_iter().map(|one| (one.kind, one.audience == vendor)).collect::<Vec<_>>()
        };
        assert_eq!(prove(&wanted, &[NOT_ASKED]), []);
        assert_eq!(prove(&wanted, &["there is no such record"]), [(Kind::DnsConflict, true)]);
        assert_eq!(prove(&wanted, &["there is no such record"]), []);
        assert_eq!(prove(&wanted, &[]), [(Kind::DnsConflictEnded, true)]);
        assert_eq!(prove(&wanted, &["another says so"]), [(Kind::DnsConflict, true)]);
        assert_eq!(prove(&BTreeMap::new(), &[]), [(Kind::DnsConflictEnded, false)]);
    }
}
