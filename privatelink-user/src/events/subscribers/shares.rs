//! Shares of a subscriber's queue: a principal's events wait in its own share, so that they neither
//! drop another's nor those of connections.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{events::stored::StoredEvent, model::Name};

/// Events of one principal that may wait for one subscriber, except those of connections.
const SHARE: usize = 128;
/// Events of all principals that may wait for one subscriber, except those of connections.
const TOTAL: usize = 768;

/// The events that wait, by principal.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<BTreeMap<Name, usize>>);

impl Shares {
    /// Whether there is room for one more event; if so, it waits until [`leave`](Self::leave).
    pub fn enter(&self, entry: &StoredEvent) -> bool {
        let Some(maker) = payer(entry) else { return true };
        let mut waiting = self.waiting();
        if waiting.values().sum::<usize>() >= TOTAL {
            return false;
        }
        let own = waiting.entry(maker.clone()).or_default();
        let enters = *own < SHARE;
        *own += usize::from(enters);
        enters
    }

    /// An event waits no more.
    pub fn leave(&self, entry: &StoredEvent) {
        let Some(maker) = payer(entry) else { return };
        let mut waiting = self.waiting();
        if let Some(own) = waiting.get_mut(maker) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                waiting.remove(maker);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Name, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The principal whose share an event takes; none if only the whole queue limits it.
fn payer(entry: &StoredEvent) -> Option<&Name> {
    entry.maker().filter(|_| !entry.is_of_connection())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::interface::types::{About, Event};

    fn entry(kind: &str, maker: &str) -> StoredEvent {
        let event = Event {
            number: 1,
            time: String::new(),
            kind: kind.into(),
            text: String::new(),
            about: About::default(),
        };
        StoredEvent { event, audience: BTreeSet::new(), maker: maker.parse().ok() }
    }

    #[test]
    fn a_flood_of_one_principal_leaves_room_for_the_others() {
        let shares = Shares::default();
        let noise = entry("target-healthy", "noisy");
        assert_eq!((0..1_000).filter(|_| shares.enter(&noise)).count(), SHARE);
        assert!(shares.enter(&entry("target-healthy", "quiet")));
        shares.leave(&noise);
        assert!(shares.enter(&noise) && !shares.enter(&noise));
        for number in 0..100 {
            let other = entry("target-healthy", &format!("other-{number}"));
            while shares.enter(&other) {}
        }
        assert_eq!(shares.waiting().values().sum::<usize>(), TOTAL);
        assert!(shares.enter(&entry("connection-available", "noisy")));
        assert!(shares.enter(&entry("gateway-ready", "")), "the gateway's own");
    }
}
