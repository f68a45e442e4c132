//! The flow log: a record of each flow when it ends, of those that last, and of refused ones.
//!
//! ```text
//! sweeps ─End─┐
//! refusals ───┼─ Batch ─bounded queue─► worker ─Record─► text ─► file, standard output, socket
//! flow table ─┘                           └─ what was reported of flows that last
//! ```
//!
//! The daemon's loop hands over what the kernel told, with the names that indices have just then,
//! and never waits: names, formats and files are a thread's business, and what finds no room in
//! the queue is counted and told of in the log itself.

mod index_names;
mod live;
mod marks;
mod record;
mod sink;
mod totals;
mod vpc;
mod worker;
mod writer;

pub use index_names::{EndpointNames, IndexNames};
pub use live::{FlowSource, IntervalTick};
pub(crate) use record::of_live;
pub use record::{Clock, Record, RecordKind};
pub(crate) use sink::file;
pub use totals::{RecordCounts, Totals};
pub use worker::{Batch, Log};
