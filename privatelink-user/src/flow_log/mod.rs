//! The flow log: records of flows when they end, at intervals while they live, and when refused.
//!
//! ```text
//! sweeps ─End─┐
//! refusals ───┼─ Batch ─bounded queue─► worker ─Record─► text ─► file, standard output, socket
//! flow table ─┘                           └─ marks: what was reported of live flows
//! ```
//!
//! The daemon's loop submits what the kernel reports, with the names that indices have at that
//! moment, and never waits. A thread formats and writes the records. Records that do not fit into
//! the queue are counted, and the log itself has a record of the gap.

mod index_names;
mod live;
mod marks;
mod record;
mod samples;
mod sink;
mod totals;
mod vpc;
mod worker;
mod writer;

pub use index_names::{EndpointNames, IndexNames};
pub use live::{FlowSource, IntervalTick};
pub(crate) use record::of_live;
pub use record::{Clock, Record, RecordKind};
pub use samples::Samples;
pub(crate) use sink::file;
pub use totals::{RecordCounts, Totals};
pub use vpc::fields_table;
pub use worker::{Batch, Log};
