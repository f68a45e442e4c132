//! Delivers each event to programs and hosts.
//!
//! Each subscriber has a thread and a queue of its own and gets one event at a time. The publisher
//! never waits: an event that does not fit into the queue is dropped and counted.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use log::warn;

use super::{hook::Hook, queue::Queue, webhook::Webhook};
use crate::{
    events::stored::StoredEvent,
    interface::types,
    model::{Name, Subscriptions},
    supervision::keep_working,
};

/// The least time between two log lines about failures of one subscriber.
const QUIET: Duration = Duration::from_secs(60);

/// The configured subscribers.
#[derive(Debug, Default)]
pub(in crate::events) struct Subscribers {
    settings: Subscriptions,
    all: Vec<Delivery>,
    /// How many events of each principal were dropped since the daemon was started.
    dropped: BTreeMap<Name, u64>,
}

#[derive(Debug)]
struct Delivery {
    name: String,
    queue: Arc<Queue>,
    counts: Arc<DeliveryCounts>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[derive(Debug, Default)]
struct DeliveryCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Subscribers {
    /// Delivers to the configured subscribers from now on, and to no others.
    pub fn follow(&mut self, wanted: &Subscriptions, socket: &Path) {
        if self.settings == *wanted {
            return;
        }
        // Threads of the previous subscribers still deliver what is queued.
        self.all.clear();
        for program in &wanted.hooks {
            let hook = Hook::new(program, wanted.hook_user.as_deref(), socket);
            self.add(program.display().to_string(), move |event| hook.run(event));
        }
        if let Some(url) = &wanted.webhook {
            match Webhook::new(url, wanted.webhook_ca_file.as_deref()) {
                Ok(webhook) => self.add(url.to_string(), move |event| webhook.post(event)),
                Err(error) => warn!("cannot post events to {url}: {error}"),
            }
        }
        self.settings = wanted.clone();
    }

    fn add(
        &mut self,
        name: String,
        deliver: impl Fn(&types::Event) -> Result<(), String> + Send + 'static,
    ) {
        let queue = Arc::new(Queue::default());
        let counts = Arc::new(DeliveryCounts::default());
        let (counted, called, events) = (Arc::clone(&counts), name.clone(), Arc::clone(&queue));
        let started = thread::Builder::new().name("subscriber".into()).spawn(move || {
            keep_working(&called, || attend(&called, &events, &counted, &deliver));
        });
        match started {
            Ok(_) => self.all.push(Delivery { name, queue, counts }),
            Err(error) => warn!("{name} gets no events: cannot start a thread: {error}"),
        }
    }

    /// Queues an event for every subscriber.
    pub fn notify(&mut self, event: &StoredEvent) {
        if self.all.is_empty() {
            return;
        }
        let event = Arc::new(event.clone());
        for one in &self.all {
            let Some(displaced) = one.queue.push(Arc::clone(&event)) else { continue };
            one.counts.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(maker) = displaced.maker() {
                *self.dropped.entry(maker.clone()).or_default() += 1;
            }
        }
    }

    /// How many events of each principal were dropped since the daemon was started.
    pub fn dropped(&self) -> &BTreeMap<Name, u64> {
        &self.dropped
    }

    /// The delivery counts of each subscriber.
    pub fn report(&self) -> Vec<types::Subscriber> {
        let counts = |one: &Delivery| types::Subscriber {
            name: one.name.clone(),
            delivered: one.counts.delivered.load(Ordering::Relaxed),
            failed: one.counts.failed.load(Ordering::Relaxed),
            dropped: one.counts.dropped.load(Ordering::Relaxed),
        };
        self.all.iter().map(counts).collect()
    }
}

/// Delivers events one at a time until the queue is closed.
fn attend(
    name: &str,
    events: &Queue,
    counts: &DeliveryCounts,
    deliver: impl Fn(&types::Event) -> Result<(), String>,
) {
    let mut warned: Option<Instant> = None;
    while let Some(entry) = events.take() {
        let event = &entry.event;
        let Err(error) = deliver(event) else {
            counts.delivered.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        counts.failed.fetch_add(1, Ordering::Relaxed);
        // A subscriber that fails for long would fill the log; the failures are counted.
        if warned.is_none_or(|when| when.elapsed() >= QUIET) {
            warn!("{name} did not get event {}: {error}", event.number);
            warned = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::events::subscribers::queue::ROOM;

    #[test]
    fn a_slow_subscriber_never_blocks_and_its_dropped_events_are_counted() {
        let mut subscribers = Subscribers::default();
        let (go, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        subscribers.add("slow".into(), move |event| {
            let _ = gate.lock().unwrap().recv();
            if event.number == 0 { Err("no".into()) } else { Ok(()) }
        });
        let total = ROOM as u64 + 100;
        for number in 0..total {
            let event = types::Event {
                number,
                time: String::new(),
                kind: String::new(),
                text: String::new(),
                about: Default::default(),
            };
            subscribers.notify(&StoredEvent { event, audience: Default::default(), maker: None });
        }
        let report = || subscribers.report().remove(0);
        // One event is being delivered, and the queue is full.
        assert!((99..=100).contains(&report().dropped), "{:?}", report());
        drop(go);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while report().delivered + report().failed + report().dropped < total {
            assert!(std::time::Instant::now() < deadline, "{:?}", report());
            thread::yield_now();
        }
        assert_eq!(report().failed, 1);
    }
}
