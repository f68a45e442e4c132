//! Metrics for Prometheus.
//!
//! What the programs count stands in pinned maps, and is read there at each scrape: no second copy
//! is kept that could differ, and no count is lost when the daemon ends. What else a scrape shows,
//! the daemon publishes as an [`Inventory`].
//!
//! A new metric is a row of [`family`], and a line in `render.rs` that adds its samples.

mod census;
mod detail;
pub mod family;
mod inventory;
mod names;
mod render;
mod server;
mod sites;
mod source;
mod text;
mod token;

pub use census::{Census, PORTS};
pub use detail::Detail;
pub use inventory::{Inventory, Progress};
pub use render::{Readings, page};
pub use server::Server;
pub use source::{Error, Source, keep_counting_ports};
pub use text::Format;
pub use token::{Token, TokenError};
