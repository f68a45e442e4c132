//! The commands, with what several of them print.

pub mod audit;
pub mod check;
pub mod connections;
mod create;
pub mod describe;
mod detail;
pub mod dns;
pub mod doctor;
pub mod down;
pub mod downgrade;
pub mod events;
pub mod flows;
pub mod hook;
pub mod key;
mod list;
pub mod metrics;
pub mod objects;
pub mod plan;
pub mod run;
pub mod serve_https;
mod show;
pub mod site;
pub mod status;
mod table;
pub mod test;
pub mod write;
mod written;
