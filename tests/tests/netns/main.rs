//! Real sockets in network namespaces. Needs root; run by `cargo xtask test`.

mod acceptance;
mod access;
mod control;
mod dns;
mod endings;
mod events;
mod fairness;
mod fixture;
mod flow_log;
mod health;
mod interfaces;
mod isolation;
mod lab;
mod large;
mod life;
mod many;
mod metrics;
mod next_hops;
mod plan;
mod refused;
mod scale;
mod service;
mod sums;
mod unprivileged;
mod upgrade;
mod whois;
