//! Events: changes of state, for people, programs and other hosts.
//!
//! The daemon publishes an [`Event`] on the [`Bus`], which stores the latest ones across restarts
//! and wakes followers. To add an event, add its kind in `kind.rs`; `cargo xtask docs` then
//! updates `docs/events.md`.

mod budget;
mod bus;
mod connections;
mod drains;
mod event;
mod file;
mod flapping;
mod kind;
mod log_lines;
mod observation;
mod retention;
mod stored;
mod subscribers;

pub use bus::{Bus, EventFilter, EventPage};
pub use connections::of_connections;
pub use drains::{of_drained, of_drains};
pub use event::Event;
pub use flapping::Flapping;
pub use kind::{Kind, kinds_table};
pub use observation::Observation;
pub use subscribers::run_hook;
