//! Watches targets: finds their addresses and checks their health.

pub mod discovery;
pub mod health;
