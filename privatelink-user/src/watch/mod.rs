//! What the daemon observes of targets.

pub mod discovery;
pub mod health;
