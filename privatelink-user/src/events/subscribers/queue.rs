//! The events that wait for one subscriber, shared out between principals: what one of them causes
//! displaces nothing of another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{events::stored::StoredEvent, model::Name};

/// How many events of connections may wait, and how many others.
pub(super) const ROOM: usize = 1_024;
/// Events of one principal that may wait, except those of connections: they hold up what comes after
/// them.
const SHARE: usize = 128;

/// A queue that never blocks who fills it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arc<StoredEvent>>,
    closed: bool,
}

impl Queue {
    /// Lets an event wait. Returns the one that has to go for it, which may be this one itself: the
    /// latest of whom most wait.
    pub fn push(&self, event: Arc<StoredEvent>) -> Option<Arc<StoredEvent>> {
        let mut waiting = self.lock();
        let displaced = waiting.push(event);
        drop(waiting);
        self.changed.notify_one();
        displaced
    }

    /// Waits for the next event; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Arc<StoredEvent>> {
        let mut waiting = self.lock();
        loop {
            if let Some(event) = waiting.events.pop_front() {
                return Some(event);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, event: Arc<StoredEvent>) -> Option<Arc<StoredEvent>> {
        let is_connection = event.is_of_connection();
        let mut counts = BTreeMap::<Option<&Name>, usize>::new();
        for one in self.events.iter().filter(|one| one.is_of_connection() == is_connection) {
            *counts.entry(one.maker()).or_default() += 1;
        }
        let own = counts.get(&event.maker()).copied().unwrap_or_default();
        if !is_connection && event.maker().is_some() && own >= SHARE {
            return Some(event);
        }
        if counts.values().sum::<usize>() < ROOM {
            self.events.push_back(event);
            return None;
        }
        let (maker, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        if most <= own {
            return Some(event);
        }
        let is_victim = |one: &Arc<StoredEvent>| {
            one.is_of_connection() == is_connection && one.maker() == maker
        };
        let place = self.events.iter().rposition(is_victim);
        let displaced = place.and_then(|place| self.events.remove(place));
        self.events.push_back(event);
        displaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, maker: &str, number: u64) -> Arc<StoredEvent> {
        Arc::new(StoredEvent::sample(number, kind, maker))
    }

    /// How many of a principal's events wait.
    fn waiting(queue: &Queue, maker: &str) -> usize {
        let maker = maker.parse().ok();
        queue.lock().events.iter().filter(|one| one.maker == maker).count()
    }

    #[test]
    fn a_flood_of_one_principal_leaves_room_for_the_others() {
        let queue = Queue::default();
        let noise = |number| queue.push(entry("target-healthy", "noisy", number)).is_none();
        assert_eq!((0..1_000).filter(|number| noise(*number)).count(), SHARE);
        assert!(queue.push(entry("target-healthy", "quiet", 1_000)).is_none());
        assert_eq!(queue.take().unwrap().event.number, 0);
        assert!(noise(1_001) && !noise(1_002));
        assert!(queue.push(entry("gateway-ready", "", 1_003)).is_none(), "the gateway's own");
    }

    #[test]
    fn floods_of_many_principals_displace_each_other_and_no_quiet_one() {
        let queue = Queue::default();
        assert!(queue.push(entry("target-healthy", "quiet", 0)).is_none());
        for number in 1..20_000 {
            queue.push(entry("target-healthy", &format!("noisy-{}", number % 100), number));
        }
        assert_eq!(queue.lock().events.len(), ROOM);
        assert_eq!(waiting(&queue, "quiet"), 1);
        let late = entry("target-healthy", "late", 20_000);
        assert_eq!(queue.push(late).unwrap().maker.as_ref().unwrap().as_str().len(), 8);
        assert_eq!(waiting(&queue, "late"), 1);
        for number in 0..100 {
            assert!((9..=12).contains(&waiting(&queue, &format!("noisy-{number}"))), "{number}");
        }
    }

    #[test]
    fn decisions_of_one_principal_displace_none_of_another() {
        let queue = Queue::default();
        for number in 0..10 {
            assert!(queue.push(entry("connection-available", "quiet", number)).is_none());
            assert!(queue.push(entry("target-healthy", "noisy", number)).is_none());
        }
        let lost = |number| queue.push(entry("connection-rejected", "noisy", number)).is_some();
        assert_eq!((10..5_010).filter(|number| lost(*number)).count(), 5_000 - (ROOM - 10));
        assert_eq!((waiting(&queue, "quiet"), waiting(&queue, "noisy")), (10, ROOM));
        let displaced = queue.push(entry("connection-available", "quiet", 6_000)).unwrap();
        assert_eq!(displaced.event.kind, "connection-rejected");
        assert_eq!(waiting(&queue, "quiet"), 11);
    }

    #[test]
    fn what_waits_is_delivered_after_the_queue_is_closed() {
        let queue = Queue::default();
        queue.push(entry("gateway-ready", "", 1));
        queue.close();
        assert_eq!(queue.take().map(|one| one.event.number), Some(1));
        assert!(queue.take().is_none());
    }
}
