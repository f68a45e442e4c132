//! The thread that writes the flow log.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use log::warn;
use privatelink_common::{End, RefusedFlow};

use super::{
    index_names::IndexNames,
    live::{self, FlowSource, IntervalTick},
    marks::{Key, Mark, Marks},
    record::{self, Clock, DirectionCounts},
    totals::Totals,
    writer::{Shared, Writer},
};
use crate::{model::FlowLog, supervision::keep_working, timestamp::Timestamp};

/// Maximum number of queued records.
const QUEUE: usize = 262_144;
/// How long shutdown waits for queued records.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the kernel reported, with the names and the time at that moment.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Ended flows.
    pub ends: Vec<End>,
    /// Refused flows.
    pub refused: Vec<RefusedFlow>,
    /// Ends and refused flows that the kernel has dropped since the previous batch.
    pub left_out: u64,
    /// The names behind indices.
    pub names: Arc<IndexNames>,
    /// The time of the batch.
    pub clock: Clock,
}

enum Message {
    Batch(Batch),
    Interval(Box<IntervalTick>),
    Reopen,
}

impl Message {
    /// How many records it is counted for in the queue.
    fn records(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.ends.len() + batch.refused.len(),
            Self::Interval(_) | Self::Reopen => 0,
        }
    }
}

/// A running flow log.
#[derive(Debug)]
pub struct Log {
    settings: FlowLog,
    shared: Arc<Shared>,
    messages: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Starts the thread, which reads live flows from `flows` and counts in `totals`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        settings: FlowLog,
        state_dir: &Path,
        flows: FlowSource,
        totals: Arc<Totals>,
    ) -> io::Result<Self> {
        let (messages, received) = channel();
        let shared = Arc::new(Shared::new(totals));
        let (writer, marks) = (Writer::new(&settings, Arc::clone(&shared)), Marks::open(state_dir));
        let mut worker =
            Worker { refusals: settings.refusals, writer, marks, flows, in_hand: None };
        let thread = thread::Builder::new().name("flow-log".into()).spawn(move || {
            keep_working("the thread of the flow log", || {
                worker.resume();
                worker.run(&received);
            });
        })?;
        Ok(Self { settings, shared, messages: Some(messages), thread: Some(thread) })
    }

    /// The settings that it was started with.
    pub fn settings(&self) -> &FlowLog {
        &self.settings
    }

    /// Queues a batch. Never waits: a batch that does not fit into the queue is counted as lost.
    pub fn submit(&self, batch: Batch) {
        let records = batch.ends.len() + batch.refused.len();
        if records == 0 && batch.left_out == 0 {
            return;
        }
        let waiting = self.shared.waiting.fetch_add(records, Ordering::Relaxed);
        if waiting + records > QUEUE {
            self.shared.waiting.fetch_sub(records, Ordering::Relaxed);
            self.shared.lose(records as u64 + batch.left_out);
            return;
        }
        self.send(Message::Batch(batch));
    }

    /// Queues interval records for live flows, unless the previous round is still running.
    pub fn interval(&self, interval: IntervalTick) {
        if !self.shared.interval_pending.swap(true, Ordering::Relaxed) {
            self.send(Message::Interval(Box::new(interval)));
        }
    }

    /// Reopens the destination.
    pub fn reopen(&self) {
        self.send(Message::Reopen);
    }

    /// The current problem, if any.
    pub fn problem(&self) -> Option<String> {
        let failing = self.shared.failing.load(Ordering::Relaxed);
        let to = &self.settings.to;
        failing.then(|| format!("flow log records are lost: cannot write to {to}"))
    }

    fn send(&self, message: Message) {
        if let Some(messages) = &self.messages {
            // The thread runs until this sender is dropped, so sending cannot fail.
            let _ = messages.send(message);
        }
    }
}

impl Drop for Log {
    /// Waits for queued records, up to a limit: the reader of the socket may have stopped.
    fn drop(&mut self) {
        self.messages = None;
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + FAREWELL;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            warn!("the last flow log records are lost: timed out writing them during shutdown");
        }
    }
}

struct Worker {
    refusals: bool,
    writer: Writer,
    marks: Marks,
    flows: FlowSource,
    /// How many records are being written.
    in_hand: Option<usize>,
}

impl Worker {
    /// Counts as lost what a panic has left unwritten.
    fn resume(&mut self) {
        if let Some(records) = self.in_hand.take() {
            self.writer.lose(records as u64);
            self.writer.done(records, Timestamp::now());
            self.writer.interval_done();
        }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        for message in messages {
            self.in_hand = Some(message.records());
            match message {
                Message::Batch(batch) => self.write_batch(&batch),
                Message::Interval(interval) => self.write_interval(&interval),
                Message::Reopen => self.writer.reopen(),
            }
            self.in_hand = None;
        }
    }

    fn write_batch(&mut self, batch: &Batch) {
        let Batch { ends, refused, left_out, names, clock } = batch;
        self.writer.lose(*left_out);
        for end in ends {
            let counts = DirectionCounts {
                packets_in: end.flow.packets,
                packets_out: end.packets_out,
                bytes_in: end.flow.bytes,
                bytes_out: end.bytes_out,
            };
            let reported = self.marks.take(&Key::of(&end.flow));
            let counts = counts.since(reported.map(|mark| mark.counts).unwrap_or_default());
            let start = reported.map(Mark::since);
            self.writer.add(&record::ended(end, names, clock, counts, start), names);
        }
        for one in refused.iter().filter(|_| self.refusals) {
            self.writer.add(&record::refused(one, names, clock), names);
        }
        self.writer.done(ends.len() + refused.len(), clock.now);
        self.marks.keep();
    }

    fn write_interval(&mut self, interval: &IntervalTick) {
        let names = &interval.names;
        live::records(&self.flows, interval, &mut self.marks, |record| {
            self.writer.add(record, names);
        });
        self.writer.done(0, interval.clock.now);
        self.marks.keep();
        self.writer.interval_done();
    }
}
