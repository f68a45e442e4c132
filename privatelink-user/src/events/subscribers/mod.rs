//! Programs and hosts to which each event is delivered.

mod confine;
mod delivery;
mod hook;
mod queue;
mod webhook;

pub use confine::run as run_hook;
pub(super) use delivery::Subscribers;
