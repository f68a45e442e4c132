//! The daemon: one loop that owns all state, and reconciles the maps with whatever changes.
//!
//! From the ground up:
//!
//! | file | what it does |
//! |---|---|
//! | `error`, `lock`, `signals`, `service_manager` | why a daemon ends; what it needs of the system |
//! | `clock`, `paced_count` | the time by which grants and drains end; a count that is logged now and then |
//! | `commit` | makes a computed state the one that is kept |
//! | `parts/` | one concern each; none knows the gateway |
//! | `joining`, `confirmation` | the store, alone or shared; what waits for other gateways |
//! | `snapshot`, `adoption`, `opening`, `inbox` | what is read, adopted, begun with, and heard |
//! | `gateway` | the one place that connects the parts |
//! | `hold` | what is done while the state cannot be read |
//! | `answers` | responses to requests, each after a look at the caller's rights |
//! | `schedule`, `event_loop`, `run` | when something is due, what wakes the loop up, start and end |

mod adoption;
mod answers;
mod clock;
mod commit;
mod confirmation;
mod error;
mod event_loop;
mod gateway;
mod hold;
mod inbox;
mod joining;
mod lock;
mod log_level;
mod opening;
mod paced_count;
mod parts;
mod run;
mod schedule;
mod scrape;
mod service_manager;
mod signals;
mod snapshot;
mod stopped;

pub use error::Error;
pub use event_loop::Outcome;
pub use lock::{InUse, pin_dir_of, reserve, state_dir_of};
pub use run::{Options, run};
