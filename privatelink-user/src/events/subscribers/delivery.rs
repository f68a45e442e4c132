//! Programs and hosts that are told of each event.
//!
//! Each has a thread and a queue of its own, and is told of one event after the other. Nobody
//! waits for it: what finds no room in the queue is dropped, and counted.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use log::warn;

use super::{hook::Hook, webhook::Webhook};
use crate::{interface::types, model::Subscriptions};

/// Events that may wait for one subscriber.
const QUEUE: usize = 1_024;

/// All of them.
#[derive(Debug, Default)]
pub(in crate::events) struct Subscribers {
    settings: Subscriptions,
    all: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    name: String,
    queue: SyncSender<Arc<types::Event>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Subscribers {
    /// Has those be told that are wanted, and nobody else.
    pub fn follow(&mut self, wanted: &Subscriptions, socket: &Path) {
        if self.settings == *wanted {
            return;
        }
        // What waits for those of before is still delivered.
        self.all.clear();
        for program in &wanted.hooks {
            let hook = Hook::new(program, wanted.hook_user.as_deref(), socket);
            self.add(program.display().to_string(), move |event| hook.run(event));
        }
        if let Some(url) = &wanted.webhook {
            match Webhook::new(url, wanted.webhook_ca_file.as_deref()) {
                Ok(webhook) => self.add(url.to_string(), move |event| webhook.post(event)),
                Err(error) => warn!("events are not posted to {url}: {error}"),
            }
        }
        self.settings = wanted.clone();
    }

    fn add(
        &mut self,
        name: String,
        deliver: impl Fn(&types::Event) -> Result<(), String> + Send + 'static,
    ) {
        let (queue, events) = sync_channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let (counted, called) = (Arc::clone(&counts), name.clone());
        let started = thread::Builder::new()
            .name("subscriber".into())
            .spawn(move || attend(&called, &events, &counted, deliver));
        match started {
            Ok(_) => self.all.push(Subscriber { name, queue, counts }),
            Err(error) => warn!("{name} is not told of events: {error}"),
        }
    }

    /// Tells all of an event, once they come to it.
    pub fn tell(&self, event: &types::Event) {
        if self.all.is_empty() {
            return;
        }
        let event = Arc::new(event.clone());
        for one in &self.all {
            if one.queue.try_send(Arc::clone(&event)).is_err() {
                one.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How well each of them is served.
    pub fn told(&self) -> Vec<types::Subscriber> {
        let told = |one: &Subscriber| types::Subscriber {
            name: one.name.clone(),
            delivered: one.counts.delivered.load(Ordering::Relaxed),
            failed: one.counts.failed.load(Ordering::Relaxed),
            dropped: one.counts.dropped.load(Ordering::Relaxed),
        };
        self.all.iter().map(told).collect()
    }
}

/// Delivers one event after the other.
fn attend(
    name: &str,
    events: &Receiver<Arc<types::Event>>,
    counts: &Counts,
    deliver: impl Fn(&types::Event) -> Result<(), String>,
) {
    for event in events {
        match deliver(&event) {
            Ok(()) => counts.delivered.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                warn!("{name} was not told of event {}: {error}", event.number);
                counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_slow_subscriber_holds_nobody_up_and_what_it_misses_is_counted() {
        let mut subscribers = Subscribers::default();
        let (go, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        subscribers.add("slow".into(), move |event| {
            let _ = gate.lock().unwrap().recv();
            if event.number == 0 { Err("no".into()) } else { Ok(()) }
        });
        let total = QUEUE as u64 + 100;
        for number in 0..total {
            subscribers.tell(&types::Event {
                number,
                time: String::new(),
                kind: String::new(),
                text: String::new(),
                about: Default::default(),
            });
        }
        let told = || subscribers.told().remove(0);
        // One is in its hands, and a queue is full.
        assert!((99..=100).contains(&told().dropped), "{:?}", told());
        drop(go);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while told().delivered + told().failed + told().dropped < total {
            assert!(std::time::Instant::now() < deadline, "{:?}", told());
            thread::yield_now();
        }
        assert_eq!(told().failed, 1);
    }
}
