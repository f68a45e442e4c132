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
    record::{self, Clock, FlowCounts},
    totals::Totals,
    writer::{Shared, Writer},
};
use crate::model::FlowLog;

/// Records that may wait to be written.
const QUEUE: usize = 262_144;
/// How long the rest may take once the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the kernel told, with the names and the time that it had then.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Flows that have ended.
    pub ends: Vec<End>,
    /// Flows that were refused.
    pub refused: Vec<RefusedFlow>,
    /// Refused flows and ends that the kernel did not tell of, since the batch before.
    pub left_out: u64,
    /// The names.
    pub names: Arc<IndexNames>,
    /// The time.
    pub clock: Clock,
}

enum Message {
    Batch(Batch),
    Interval(Box<IntervalTick>),
    Reopen,
}

/// A flow log that is written.
#[derive(Debug)]
pub struct Log {
    settings: FlowLog,
    shared: Arc<Shared>,
    messages: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Starts the thread, which reads the flows that last from `flows`, and counts in `totals`.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub fn start(
        settings: FlowLog,
        state_dir: &Path,
        flows: FlowSource,
        totals: Arc<Totals>,
    ) -> io::Result<Self> {
        let (messages, received) = channel();
        let shared = Arc::new(Shared::new(totals));
        let (writer, marks) = (Writer::new(&settings, Arc::clone(&shared)), Marks::open(state_dir));
        let mut worker = Worker { refusals: settings.refusals, writer, marks, flows };
        let thread =
            thread::Builder::new().name("flow-log".into()).spawn(move || worker.run(&received))?;
        Ok(Self { settings, shared, messages: Some(messages), thread: Some(thread) })
    }

    /// What it was started with.
    pub fn settings(&self) -> &FlowLog {
        &self.settings
    }

    /// Has a batch written. Never waits: what finds no room is lost, and counted.
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

    /// Has flows that last told of, unless that is still being done from the last time.
    pub fn interval(&self, interval: IntervalTick) {
        if !self.shared.telling.swap(true, Ordering::Relaxed) {
            self.send(Message::Interval(Box::new(interval)));
        }
    }

    /// Has the file opened anew.
    pub fn reopen(&self) {
        self.send(Message::Reopen);
    }

    /// What is wrong.
    pub fn problem(&self) -> Option<String> {
        let failing = self.shared.failing.load(Ordering::Relaxed);
        let to = &self.settings.to;
        failing.then(|| format!("records of flows are lost: nothing can be written to {to}"))
    }

    fn send(&self, message: Message) {
        if let Some(messages) = &self.messages {
            // The thread ends only after this end of the channel.
            let _ = messages.send(message);
        }
    }
}

impl Drop for Log {
    /// Waits for what is in the queue, but not for ever: whoever reads may have stopped.
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
            warn!("the last records of the flow log are lost: nobody takes them");
        }
    }
}

struct Worker {
    refusals: bool,
    writer: Writer,
    marks: Marks,
    flows: FlowSource,
}

impl Worker {
    fn run(&mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Batch(batch) => self.take(&batch),
                Message::Interval(interval) => self.tell_of_lasting(&interval),
                Message::Reopen => self.writer.reopen(),
            }
        }
    }

    fn take(&mut self, batch: &Batch) {
        let Batch { ends, refused, left_out, names, clock } = batch;
        self.writer.lose(*left_out);
        for end in ends {
            let counts = FlowCounts {
                packets_in: end.flow.packets,
                packets_out: end.packets_out,
                bytes_in: end.flow.bytes,
                bytes_out: end.bytes_out,
            };
            let told = self.marks.take(&Key::of(&end.flow));
            let counts = counts.since(told.map(|mark| mark.counts).unwrap_or_default());
            let start = told.map(Mark::since);
            self.writer.add(&record::ended(end, names, clock, counts, start), names);
        }
        for one in refused.iter().filter(|_| self.refusals) {
            self.writer.add(&record::refused(one, names, clock), names);
        }
        self.writer.done(ends.len() + refused.len(), clock.now);
        self.marks.keep();
    }

    fn tell_of_lasting(&mut self, interval: &IntervalTick) {
        let names = &interval.names;
        live::records(&self.flows, interval, &mut self.marks, |record| {
            self.writer.add(record, names);
        });
        self.writer.done(0, interval.clock.now);
        self.marks.keep();
        self.writer.told();
    }
}
