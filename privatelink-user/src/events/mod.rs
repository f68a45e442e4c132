//! What has changed, for people, programs and other hosts that want to know.
//!
//! Whoever sees a change publishes an [`Event`] on the [`Bus`]. It keeps the latest of them, also
//! while the daemon is restarted, and wakes those who follow. To tell of something new, add a kind
//! and its row in `docs/events.md`.

mod bus;
mod connections;
mod drains;
mod event;
mod file;
mod kind;
mod observation;
mod stored;
mod subscribers;

pub use bus::{Bus, EventFilter, EventPage};
pub use connections::of_connections;
pub use drains::{of_drained, of_drains};
pub use event::Event;
pub use kind::Kind;
pub use observation::Observation;
pub use subscribers::run_hook;
