//! Publishes and stores events, and wakes followers.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use log::info;
use tokio::sync::watch;

use super::{
    budget::{Budgets, EVENTS, LINES},
    event::Event,
    file::EventFile,
    kind::{CONNECTION, Kind, is_of},
    log_lines::lines,
    retention,
    stored::StoredEvent,
    subscribers::Subscribers,
};
use crate::{
    access::Rights,
    interface::types::{self, About},
    model::{Name, Subscriptions},
    timestamp::Timestamp,
};

/// Maximum number of stored events of connections, and of others.
const CAPACITY: usize = 10_000;

/// The latest events. Clones are the same bus.
#[derive(Clone, Debug)]
pub struct Bus {
    inner: Arc<Inner>,
    /// The attempt in the audit log that events are published for by this clone.
    audit: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    /// The latest event's number.
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    entries: VecDeque<StoredEvent>,
    file: EventFile,
    subscribers: Subscribers,
    budgets: Budgets,
    /// How many lines of the log each principal's events may take.
    lines: Budgets,
}

/// Selects events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events with a higher number; `None` selects the latest events.
    pub after: Option<u64>,
    /// Only events of this kind or group.
    pub kind: Option<String>,
    /// Maximum number of events.
    pub limit: usize,
}

/// The events that a filter selects, in ascending order of number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The selected events.
    pub events: Vec<types::Event>,
    /// Every matching event up to this number is included.
    pub complete_to: u64,
}

impl Bus {
    /// Loads the events that are stored in a directory.
    pub fn open(directory: &Path) -> Self {
        let (file, entries) = EventFile::open(directory, CAPACITY);
        let last = entries.back().map_or(0, |entry| entry.event.number);
        let (budgets, lines) = (Budgets::new(EVENTS), Budgets::new(LINES));
        let subscribers = Subscribers::default();
        let ring = Mutex::new(Ring { entries, file, subscribers, budgets, lines });
        let inner = Arc::new(Inner { ring, latest: watch::Sender::new(last) });
        Self { inner, audit: None }
    }

    /// Sets the attempt in the audit log that causes what this clone publishes from now on.
    pub fn set_audit(&mut self, attempt: Option<u64>) {
        self.audit = attempt;
    }

    /// Publishes one event.
    pub fn publish(&self, event: Event) {
        self.publish_all([event]);
    }

    /// Publishes events of one change: they are logged, stored and delivered together.
    ///
    /// Those beyond their principal's budget are only counted.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) {
        self.publish_at(events, Instant::now(), Timestamp::now());
    }

    fn publish_at(&self, events: impl IntoIterator<Item = Event>, now: Instant, wall: Timestamp) {
        let mut events: Vec<Event> = events.into_iter().collect();
        if events.is_empty() {
            return;
        }
        let mut ring = self.ring();
        events.retain(|event| match &event.maker {
            Some(maker) if has_budget(event.kind) => {
                ring.budgets.admits(maker, event.kind.word(), now)
            }
            Some(_) | None => true,
        });
        if events.is_empty() {
            return;
        }
        lines(&events, &mut ring.lines, now).iter().for_each(|line| info!("{line}"));
        let time = wall.to_string();
        let mut number = *self.inner.latest.borrow();
        let new: Vec<StoredEvent> = events
            .into_iter()
            .map(|Event { kind, text, about, audience, maker }| {
                number += 1;
                let (time, kind) = (time.clone(), kind.word().to_owned());
                let about = About { audit: about.audit.or(self.audit), ..about };
                StoredEvent {
                    event: types::Event { number, time, kind, text, about },
                    audience,
                    maker,
                }
            })
            .collect();
        let Ring { entries, file, subscribers, .. } = &mut *ring;
        new.iter().for_each(|entry| subscribers.notify(entry));
        entries.extend(new.iter().cloned());
        retention::trim(entries, CAPACITY);
        file.append(&new, entries);
        self.inner.latest.send_replace(number);
    }

    /// Publishes how many events of each principal were left out, and logs how many were not logged,
    /// at most once a minute.
    pub fn report_left_out(&self, now: Instant) {
        let (left_out, unlogged) = {
            let mut ring = self.ring();
            (ring.budgets.report(now), ring.lines.report(now))
        };
        for (principal, count) in unlogged {
            info!(
                "{count} events of principal {principal} are not in this log: too many; list them \
                 with `privatelink events`"
            );
        }
        self.publish_all(left_out.into_iter().map(|(principal, count)| {
            let text = format!(
                "{count} events of principal {principal} were left out: too many of one kind"
            );
            let principal_name = Some(principal.to_string());
            let about = About { principal: principal_name, ..About::default() };
            Event::new(Kind::EventsLeftOut, text).about(about).seen_by(&principal)
        }));
    }

    /// How many events of each principal were left out since the daemon was started.
    pub fn left_out(&self) -> BTreeMap<Name, u64> {
        self.ring().budgets.totals().clone()
    }

    /// How many events of each principal were not logged since the daemon was started.
    pub fn unlogged(&self) -> BTreeMap<Name, u64> {
        self.ring().lines.totals().clone()
    }

    /// How many events of each principal were dropped by subscribers since the daemon was started.
    pub fn undelivered(&self) -> BTreeMap<Name, u64> {
        self.ring().subscribers.dropped().clone()
    }

    /// The events that match the filter and that the caller may see.
    pub fn find(&self, filter: &EventFilter, rights: &Rights) -> EventPage {
        let ring = self.ring();
        let of_kind = |entry: &StoredEvent| {
            filter.kind.as_ref().is_none_or(|kind| is_of(&entry.event.kind, kind))
        };
        let visible = |entry: &&StoredEvent| {
            of_kind(entry)
                && match rights {
                    Rights::All => true,
                    Rights::Of(names) => !names.is_disjoint(&entry.audience),
                }
        };
        let last = *self.inner.latest.borrow();
        let Some(after) = filter.after else {
            let latest = ring.entries.iter().rev().filter(visible).take(filter.limit);
            let mut events: Vec<_> = latest.map(|entry| entry.event.clone()).collect();
            events.reverse();
            return EventPage { events, complete_to: last };
        };
        let begin = ring.entries.partition_point(|entry| entry.event.number <= after);
        let found = ring.entries.iter().skip(begin).filter(visible).take(filter.limit);
        let events: Vec<_> = found.map(|entry| entry.event.clone()).collect();
        let cut = events.len() == filter.limit;
        let complete_to = events.last().filter(|_| cut).map_or(last, |event| event.number);
        EventPage { events, complete_to }
    }

    /// Delivers each event to these subscribers from now on. Hooks find the daemon at `socket`.
    pub fn subscribe(&self, wanted: &Subscriptions, socket: &Path) {
        self.ring().subscribers.follow(wanted, socket);
    }

    /// The delivery counts of each subscriber.
    pub fn subscribers(&self) -> Vec<types::Subscriber> {
        self.ring().subscribers.report()
    }

    /// A channel that holds the latest event's number and changes with each event.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.inner.latest.subscribe()
    }

    /// The number of followers.
    pub fn followers(&self) -> usize {
        self.inner.latest.receiver_count()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether events of a kind are limited: decisions about connections are on disk one by one, and are
/// all published.
fn has_budget(kind: Kind) -> bool {
    kind != Kind::EventsLeftOut && !is_of(kind.word(), CONNECTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn event(text: &str) -> Event {
        Event::new(Kind::NextHopLost, text)
    }

    fn texts(bus: &Bus, filter: &EventFilter, rights: &Rights) -> Vec<String> {
        bus.find(filter, rights).events.into_iter().map(|event| event.text).collect()
    }

    #[test]
    fn principals_see_only_their_own_events() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        bus.publish(event("for acme").seen_by(&name("acme")));
        bus.publish(event("for both").seen_by(&name("acme")).seen_by(&name("vendor")));
        bus.publish(event("for nobody"));
        let filter = EventFilter { limit: 10, ..EventFilter::default() };
        let of = |names: &[&str]| Rights::Of(names.iter().map(|text| name(text)).collect());
        for (rights, expected) in [
            (Rights::All, vec!["for acme", "for both", "for nobody"]),
            (of(&["acme"]), vec!["for acme", "for both"]),
            (of(&["vendor", "other"]), vec!["for both"]),
            (of(&["other"]), vec![]),
        ] {
            assert_eq!(texts(&bus, &filter, &rights), expected, "{rights:?}");
        }
    }

    #[test]
    fn events_are_found_by_number_and_kind() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        bus.publish_all(["1", "2", "3", "4"].map(event));
        bus.publish(Event::new(Kind::GatewayReady, "5"));
        let find = |after, kind: Option<&str>, limit| {
            let filter = EventFilter { after, kind: kind.map(ToOwned::to_owned), limit };
            let found = bus.find(&filter, &Rights::All);
            let texts: Vec<String> = found.events.into_iter().map(|event| event.text).collect();
            (texts.concat(), found.complete_to)
        };
        assert_eq!(find(None, None, 2), ("45".into(), 5));
        assert_eq!(find(None, Some("next-hop"), 2), ("34".into(), 5));
        assert_eq!(find(Some(1), None, 2), ("23".into(), 3));
        assert_eq!(find(Some(3), None, 9), ("45".into(), 5));
        assert_eq!(find(Some(0), Some("gateway-ready"), 9), ("5".into(), 5));
        assert_eq!(find(Some(99), None, 9), (String::new(), 5));
    }

    #[test]
    fn the_oldest_go_first_and_the_rest_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        let more = CAPACITY + CAPACITY / 2;
        for start in (0..more).step_by(100) {
            bus.publish_all((start..start + 100).map(|number| event(&number.to_string())));
        }
        let filter = EventFilter { after: Some(0), kind: None, limit: usize::MAX };
        let before = bus.find(&filter, &Rights::All);
        assert_eq!(before.events.len(), CAPACITY);
        assert_eq!(before.events[0].text, (more - CAPACITY).to_string());
        drop(bus);
        let bus = Bus::open(directory.path());
        assert_eq!(bus.find(&filter, &Rights::All), before);
        bus.publish(event("later"));
        let after = EventFilter { after: Some(before.complete_to), ..filter };
        let later = bus.find(&after, &Rights::All);
        assert_eq!((later.events[0].text.as_str(), later.complete_to), ("later", more as u64 + 1));
    }

    /// What one host's changes of its Ethernet address once did to everybody's events.
    #[test]
    fn a_flood_of_one_principal_leaves_everybodys_last_events_there() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        let (acme, noisy) = (name("acme"), name("noisy"));
        let decided = |text: &str| Event::new(Kind::ConnectionAvailable, text).seen_by(&acme);
        bus.publish(decided("decided"));
        bus.publish(event("lost").seen_by(&acme));
        bus.publish(Event::new(Kind::GatewayReady, "ready"));
        let begin = Instant::now();
        for number in 0..3 * CAPACITY as u64 {
            let now = begin + std::time::Duration::from_millis(10 * number);
            bus.publish_at([event("noise").seen_by(&noisy)], now, Timestamp::now());
        }
        let filter = EventFilter { after: Some(0), kind: None, limit: usize::MAX };
        let all = texts(&bus, &filter, &Rights::All);
        assert_eq!(all[..3], ["decided", "lost", "ready"]);
        // 300 seconds' worth, and what it may cause at once.
        assert!((550..=560).contains(&(all.len() - 3)), "{}", all.len());
        let left_out = 3 * CAPACITY as u64 - (all.len() as u64 - 3);
        assert_eq!(bus.left_out(), BTreeMap::from([(noisy.clone(), left_out)]));

        let rights = Rights::Of([noisy].into());
        bus.report_left_out(begin);
        let kind = Some("events-left-out".to_owned());
        let told = texts(&bus, &EventFilter { kind, ..filter.clone() }, &rights);
        let expected =
            format!("{left_out} events of principal noisy were left out: too many of one kind");
        assert_eq!(told, [expected]);
        bus.report_left_out(begin);
        drop(bus);
        let bus = Bus::open(directory.path());
        assert_eq!(texts(&bus, &filter, &Rights::All).len(), all.len() + 1);
    }

    #[test]
    fn events_keep_their_order_when_the_clock_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        let years = |count: u64| Timestamp::from_millis(count * 365 * 86_400_000);
        let walls = [years(56), years(66), years(46), years(56)];
        for (number, wall) in walls.iter().enumerate() {
            bus.publish_at([event(&number.to_string())], Instant::now(), *wall);
        }
        let filter = EventFilter { after: Some(1), kind: None, limit: 2 };
        for bus in [bus, Bus::open(directory.path())] {
            let page = bus.find(&filter, &Rights::All);
            let found: Vec<_> =
                page.events.into_iter().map(|event| (event.text, event.time)).collect();
            let expected = [("1", walls[1]), ("2", walls[2])];
            assert_eq!(found, expected.map(|(text, wall)| (text.to_owned(), wall.to_string())));
            assert_eq!(page.complete_to, 3);
        }
    }

    #[test]
    fn decisions_stay_whatever_else_fills_the_room() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        bus.publish(Event::new(Kind::ConnectionRejected, "decided").seen_by(&name("acme")));
        for _ in 0..5 {
            bus.publish_all((0..CAPACITY).map(|_| event("the gateway's own")));
        }
        let filter = EventFilter { after: Some(0), kind: None, limit: usize::MAX };
        for bus in [bus, Bus::open(directory.path())] {
            let all = texts(&bus, &filter, &Rights::All);
            assert_eq!((all[0].as_str(), all.len()), ("decided", CAPACITY + 1));
        }
    }

    #[tokio::test]
    async fn followers_are_woken() {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::open(directory.path());
        let mut latest = bus.follow();
        assert_eq!((*latest.borrow_and_update(), bus.followers()), (0, 1));
        bus.clone().publish(event("now"));
        latest.changed().await.unwrap();
        assert_eq!(*latest.borrow_and_update(), 1);
        drop(latest);
        assert_eq!(bus.followers(), 0);
    }
}
