//! The gateway's daemon and its command line.
//!
//! ```text
//! files ─config─► Model ─desired─► MapTables ─plan─► maps
//!                state ─┘    └─ host         └─ store (what the maps hold now)
//! ```
//!
//! Control flows one way: nothing on the right decides about anything on the left. Up to the
//! plan all is computed from values, without a look at the outside.

pub mod access;
pub mod api;
pub mod chain;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod datapath;
pub mod desired;
pub mod dns;
pub mod events;
pub mod flow_log;
pub mod host;
pub mod interface;
pub mod metrics;
pub mod model;
pub mod state;
pub mod timestamp;
pub mod view;
pub mod watch;
