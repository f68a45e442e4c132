//! Access keys: who may make and revoke them, and when each was last used.

use std::{collections::BTreeMap, time::Duration};

use log::warn;
use tokio::time::Instant;

use crate::{
    access::{Caller, Denied, Identity, Rights},
    api::request::Refused,
    chain::Chain,
    events::{Event, Kind},
    interface::types::{About, AccessKey, MadeKey, NewKey},
    model::{Model, Name},
    state::{
        Change, State, Store,
        connection::Author,
        keys::{Holder, Key, KeyId, KeyUse, Keys, MOST_KEYS},
    },
    timestamp::{ClockOffset, Moment, Timestamp},
};

/// The least time between two writes of when keys were last used.
const PAUSE: Duration = Duration::from_secs(600);

/// Uses of keys that have not been written yet: a request must not cost a write to the disk.
#[derive(Debug, Default)]
pub(in crate::daemon) struct AccessKeys {
    uses: BTreeMap<KeyId, KeyUse>,
    written: Option<Instant>,
}

impl AccessKeys {
    /// Notes that a key was used.
    pub fn note_use(&mut self, who: &Identity, now: Timestamp) {
        if let Identity::Key { id, address } = who {
            self.uses.insert(id.clone(), KeyUse { at: now, from: *address });
        }
    }

    /// Writes the uses that were noted, if that is due.
    pub fn write_uses(&mut self, store: &mut dyn Store, now: Instant) {
        let is_due = self.written.is_none_or(|written| now >= written + PAUSE);
        if self.uses.is_empty() || !is_due {
            return;
        }
        let known = &store.state().keys;
        let changed = std::mem::take(&mut self.uses).into_iter().filter_map(|(id, used)| {
            let mut key = known.get(&id)?.clone();
            key.used = Some(used);
            Some(Change::Key(id, Some(Box::new(key))))
        });
        let changed: Vec<Change> = changed.collect();
        self.written = Some(now);
        if let Err(error) = store.commit(changed) {
            warn!("cannot keep when access keys were last used: {}", Chain(&error));
        }
    }

    /// The keys that may be seen.
    pub fn list(&self, keys: &Keys, rights: &Rights, ahead: ClockOffset) -> Vec<AccessKey> {
        let seen = keys.iter().filter(|(_, key)| rights.cover(&key.holder));
        seen.map(|(id, key)| self.describe(id, key, ahead)).collect()
    }

    /// Checks that a caller may revoke a key; returns what it was.
    pub fn revoke(
        &self,
        keys: &Keys,
        caller: &Caller,
        id: &KeyId,
        ahead: ClockOffset,
    ) -> Result<AccessKey, Refused> {
        // A key of others reads as unknown.
        let key = keys.get(id).filter(|key| caller.rights.cover(&key.holder));
        let unknown = || format!("there is no key `{id}`; see `privatelink key list`");
        let key = key.ok_or_else(|| Refused::Unknown(unknown()))?;
        Ok(self.describe(id, key, ahead))
    }

    fn describe(&self, id: &KeyId, key: &Key, ahead: ClockOffset) -> AccessKey {
        let used = self.uses.get(id).or(key.used.as_ref());
        AccessKey {
            last_used: used.map(|used| ahead.shown(used.at).to_string()),
            last_address: used.map(|used| used.from.to_string()),
            ..described(id, key, ahead)
        }
    }
}

fn described(id: &KeyId, key: &Key, ahead: ClockOffset) -> AccessKey {
    AccessKey {
        id: id.to_string(),
        principal: key.holder.principal().map(Name::to_string),
        administrator: key.holder == Holder::Administrators,
        read_only: key.read_only,
        created: ahead.shown(key.made).to_string(),
        by: key.by.to_string(),
        expires: key.expires.map(|end| ahead.shown(end).to_string()),
        last_used: None,
        last_address: None,
    }
}

/// Makes a key that a caller may have; returns it as a change, and what is shown once.
pub(in crate::daemon) fn make(
    model: &Model,
    state: &State,
    (caller, who): (&Caller, &Identity),
    wanted: &NewKey,
    at: Moment,
) -> Result<(Change, MadeKey), Refused> {
    let holder = holder(model, wanted)?;
    if !caller.rights.cover(&holder) {
        return Err(Denied::KeyHolder { who: caller.author.clone(), holder }.into());
    }
    let period = wanted.expires_in_seconds.map(Duration::from_secs);
    outlives_nothing(state, who, period, at.now)?;
    if state.keys.values().filter(|key| key.holder == holder).count() >= MOST_KEYS {
        return Err(Refused::Failed(format!(
            "{holder} have {MOST_KEYS} keys, which is the most: revoke one with `privatelink key \
             revoke ID`"
        )));
    }
    let made = Key::make(holder, wanted.read_only, caller.author.clone(), at.now, period);
    let (id, key, secret) = made.map_err(|error| Refused::Failed(error.to_string()))?;
    let made = MadeKey { key: described(&id, &key, at.ahead), secret };
    Ok((Change::Key(id, Some(Box::new(key))), made))
}

/// For whom a key is wanted.
fn holder(model: &Model, wanted: &NewKey) -> Result<Holder, Refused> {
    let Some(text) = &wanted.principal else { return Ok(Holder::Administrators) };
    let unknown = || {
        let error =
            format!("there is no principal `{text}`: nothing in the configuration names it");
        Refused::Unknown(error)
    };
    let name: Name = text.parse().map_err(|_| unknown())?;
    let owns = model
        .networks()
        .values()
        .any(|one| one.principal == name || one.publishers.contains(&name));
    let publishes = model.services().values().any(|one| one.principal == name);
    if owns || publishes || model.principals().contains_key(&name) {
        Ok(Holder::Principal(name))
    } else {
        Err(unknown())
    }
}

/// A key that is made with a key must not be a way to keep rights beyond that one's end, and the end
/// of a certificate is not known here.
fn outlives_nothing(
    state: &State,
    who: &Identity,
    period: Option<Duration>,
    now: Timestamp,
) -> Result<(), Refused> {
    let end = match who {
        Identity::User(_) => return Ok(()),
        Identity::Certificate { .. } => {
            return Err(Refused::Forbidden(
                "the holder of a certificate cannot make keys: use the control socket, or a key"
                    .into(),
            ));
        }
        Identity::Key { id, .. } => state.keys.get(id).and_then(|key| key.expires),
    };
    let Some(end) = end else { return Ok(()) };
    if period.is_some_and(|period| now.after(period) <= end) {
        return Ok(());
    }
    let left = end.since(now).as_secs();
    Err(Refused::Forbidden(format!(
        "a key must not outlive the key that it is made with: ask for at most {left} seconds"
    )))
}

/// The event of a key that comes or goes.
pub(in crate::daemon) fn event(
    change: &Change,
    state: &State,
    kind: Kind,
    by: &Author,
) -> Option<Event> {
    let Change::Key(id, new) = change else { return None };
    let holder = &new.as_deref().or_else(|| state.keys.get(id))?.holder;
    let what = if new.is_some() { "made" } else { "revoked" };
    let about = About {
        principal: holder.principal().map(Name::to_string),
        by: Some(by.to_string()),
        ..About::default()
    };
    let event = Event::new(kind, format!("access key {id} of {holder} was {what} by {by}"));
    let event = event.about(about);
    Some(match holder {
        Holder::Administrators => event,
        Holder::Principal(name) => event.seen_by(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Peer, config, state::MemoryStore};

    fn now() -> Moment {
        Moment { now: Timestamp::from_millis(1_000_000), ahead: none() }
    }

    fn none() -> ClockOffset {
        ClockOffset::default()
    }

    fn model() -> Model {
        let text = include_str!("../../desired/tests.toml");
        config::from_text("t.toml", text).unwrap_or_else(|faults| panic!("{faults}")).model
    }

    fn of(name: &str) -> Caller {
        let rights = Rights::Of([name.parse().unwrap()].into());
        Caller { author: Author::Rule, rights }
    }

    fn user() -> Identity {
        Identity::User(Peer { uid: 7, user: None, groups: Vec::new() })
    }

    fn wanted(principal: Option<&str>, seconds: Option<u64>) -> NewKey {
        NewKey {
            principal: principal.map(ToOwned::to_owned),
            administrator: principal.is_none(),
            expires_in_seconds: seconds,
            ..NewKey::default()
        }
    }

    /// Makes a key, and keeps it.
    fn kept(store: &mut MemoryStore, who: (&Caller, &Identity), wanted: &NewKey) -> Option<KeyId> {
        let (change, _) = make(&model(), store.state(), who, wanted, now()).ok()?;
        let Change::Key(id, _) = &change else { return None };
        let id = id.clone();
        store.commit(vec![change]).unwrap();
        Some(id)
    }

    #[test]
    fn no_key_has_more_rights_than_who_makes_it() {
        let mut store = MemoryStore::default();
        let (all, acme) = (Caller { rights: Rights::All, ..of("acme") }, of("acme"));
        for (caller, principal, may) in [
            (&all, None, true),
            (&all, Some("acme"), true),
            (&all, Some("nobody"), false),
            (&acme, Some("acme"), true),
            (&acme, Some("vendor"), false),
            (&acme, None, false),
        ] {
            let made = kept(&mut store, (caller, &user()), &wanted(principal, None));
            assert_eq!(made.is_some(), may, "{principal:?}");
        }
        let keys = AccessKeys::default();
        assert_eq!(keys.list(&store.state().keys, &acme.rights, none()).len(), 2);
        assert_eq!(keys.list(&store.state().keys, &all.rights, none()).len(), 3);
    }

    #[test]
    fn a_key_that_is_made_with_a_key_ends_with_it() {
        let mut store = MemoryStore::default();
        let acme = of("acme");
        let first = kept(&mut store, (&acme, &user()), &wanted(Some("acme"), Some(60))).unwrap();
        let address = [10, 1, 0, 2].into();
        let who = Identity::Key { id: first, address };
        for (seconds, may) in [(Some(60), true), (Some(61), false), (None, false)] {
            let made = kept(&mut store, (&acme, &who), &wanted(Some("acme"), seconds));
            assert_eq!(made.is_some(), may, "{seconds:?}");
        }
        let holder = Holder::Principal("acme".parse().unwrap());
        let certificate = Identity::Certificate { digest: String::new(), holder, address };
        assert_eq!(kept(&mut store, (&acme, &certificate), &wanted(Some("acme"), Some(1))), None);
    }

    #[test]
    fn keys_of_others_read_as_unknown_and_keys_are_limited() {
        let mut store = MemoryStore::default();
        let acme = of("acme");
        let id = kept(&mut store, (&acme, &user()), &wanted(Some("acme"), None)).unwrap();
        let keys = AccessKeys::default();
        assert!(keys.revoke(&store.state().keys, &of("vendor"), &id, none()).is_err());
        keys.revoke(&store.state().keys, &acme, &id, none()).unwrap();
        let more = (0..MOST_KEYS * 2)
            .filter_map(|_| kept(&mut store, (&acme, &user()), &wanted(Some("acme"), None)));
        assert_eq!(more.count(), MOST_KEYS - 1);
        assert!(
            kept(&mut store, (&of("vendor"), &user()), &wanted(Some("vendor"), None)).is_some()
        );
    }

    #[test]
    fn uses_are_shown_at_once_and_written_seldom() {
        let mut store = MemoryStore::default();
        let acme = of("acme");
        let id = kept(&mut store, (&acme, &user()), &wanted(Some("acme"), None)).unwrap();
        let mut keys = AccessKeys::default();
        let who = Identity::Key { id: id.clone(), address: [10, 1, 0, 2].into() };
        let begin = Instant::now();
        let written = |store: &MemoryStore| store.state().keys[&id].used.is_some();
        keys.note_use(&who, now().now);
        let listed = keys.list(&store.state().keys, &acme.rights, none());
        assert_eq!(listed[0].last_address.as_deref(), Some("10.1.0.2"));
        assert!(!written(&store));
        keys.write_uses(&mut store, begin);
        assert!(written(&store));
        let later = Timestamp::from_millis(2_000_000);
        keys.note_use(&who, later);
        keys.write_uses(&mut store, begin + PAUSE / 2);
        assert_ne!(store.state().keys[&id].used.map(|used| used.at), Some(later));
        keys.write_uses(&mut store, begin + PAUSE);
        assert_eq!(store.state().keys[&id].used.map(|used| used.at), Some(later));
    }
}
