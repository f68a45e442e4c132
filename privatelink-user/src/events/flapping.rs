//! Makes one event of a next hop that comes and goes, or moves, again and again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{event::Event, kind::Kind};

/// Changes of one next hop that are published one by one within a window.
const ONE_BY_ONE: u32 = 3;
/// The time within which the others are published as one event.
const WINDOW: Duration = Duration::from_secs(60);

/// The next hops that have changed lately, by network and address.
#[derive(Debug, Default)]
pub struct Flapping(BTreeMap<(Option<String>, Option<String>), Changes>);

/// The changes of one next hop within a window.
#[derive(Debug)]
struct Changes {
    since: Instant,
    /// How many there may be before they are held back.
    allowed: u32,
    count: u32,
    /// The last one that was held back, and how many there were.
    held: Option<(Event, u32)>,
}

impl Flapping {
    /// Passes events on, except for those of flapping next hops.
    pub fn pass(&mut self, mut events: Vec<Event>, now: Instant) -> Vec<Event> {
        events.retain(|event| {
            if !matches!(event.kind, Kind::NextHopFound | Kind::NextHopLost) {
                return true;
            }
            let key = (event.about.network.clone(), event.about.address.clone());
            let new = Changes { since: now, allowed: ONE_BY_ONE, count: 0, held: None };
            let changes = self.0.entry(key).or_insert(new);
            changes.count = changes.count.saturating_add(1);
            if changes.count <= changes.allowed {
                return true;
            }
            let before = changes.held.take().map_or(0, |(_, count)| count);
            changes.held = Some((event.clone(), before + 1));
            false
        });
        events
    }

    /// One event for each next hop that has flapped for a window.
    pub fn due(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.0.retain(|_, changes| {
            if now < changes.since + WINDOW {
                return true;
            }
            let Some((last, count)) = changes.held.take() else { return false };
            let text = format!("{}; it changed {count} more times within a minute", last.text);
            events.push(Event { kind: Kind::NextHopFlapping, text, ..last });
            // Until it is calm for a window, its changes are held back from the first.
            *changes = Changes { since: now, allowed: 0, count: 0, held: None };
            true
        });
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::types::About;

    fn found(address: &str, mac: u32) -> Event {
        let about = About {
            network: Some("vendor".into()),
            address: Some(address.into()),
            ..About::default()
        };
        let text = format!("network vendor: next hop {address} is at {mac}");
        Event::new(Kind::NextHopFound, text).about(about).seen_by(&"vendor".parse().unwrap())
    }

    #[test]
    fn many_changes_are_one_event_a_minute_and_others_pass() {
        let (mut flapping, begin) = (Flapping::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut passed = 0;
        for mac in 0..1_000 {
            passed += flapping.pass(vec![found("10.0.0.10", mac)], at(1)).len();
        }
        assert_eq!(passed, 3);
        assert_eq!(flapping.pass(vec![found("10.0.0.11", 7)], at(2)).len(), 1);
        assert_eq!(flapping.due(at(60)), []);
        let told = flapping.due(at(62));
        let expected = "network vendor: next hop 10.0.0.10 is at 999; it changed 997 more times \
                        within a minute";
        assert_eq!(told.iter().map(|event| event.text.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!((told[0].kind, told[0].audience.len()), (Kind::NextHopFlapping, 1));
        // It goes on.
        assert_eq!(flapping.pass(vec![found("10.0.0.10", 5)], at(63)), []);
        assert_eq!(flapping.due(at(123)).len(), 1);
        // It is calm, and then changes once.
        assert_eq!(flapping.due(at(183)), []);
        assert!(flapping.0.is_empty());
        assert_eq!(flapping.pass(vec![found("10.0.0.10", 6)], at(184)).len(), 1);
    }
}
