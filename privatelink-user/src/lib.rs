//! The gateway's daemon and its command line.
//!
//! ```text
//! files ─config─► Model ─desired─► Tables ─plan─► maps
//!                state ─┘    └─ host      └─ store (what the maps hold now)
//! ```
//!
//! Control flows one way: nothing on the right decides about anything on the left. Up to the
//! plan all is computed from values, without a look at the outside.

pub mod access;
pub mod addresses;
pub mod announce;
pub mod api;
pub mod bpf;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod connection;
pub mod daemon;
pub mod desired;
pub mod difference;
pub mod discovery;
pub mod dns;
pub mod events;
pub mod flow_log;
pub mod flows;
pub mod health;
pub mod host;
pub mod ids;
pub mod metrics;
pub mod model;
pub mod parting;
pub mod plan;
pub mod resets;
pub mod state;
pub mod status;
pub mod store;
pub mod supported;
pub mod tables;
pub mod targets;
pub mod timestamp;
pub mod whois;

pub use bpf::BPF_OBJECT;
