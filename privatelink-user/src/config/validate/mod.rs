//! From well-formed objects to a [`Model`](crate::model::Model): do they fit together?
//!
//! An object with a fault is left out and the others are still compared, so that one pass finds
//! all faults. A name counts as defined even if the object that has it is left out.

mod addition;
mod address_claims;
mod addresses;
mod authority;
mod backbone;
mod dns;
mod endpoint;
mod flow_log;
mod gateway;
mod groups;
mod health_check;
mod hosts;
mod join;
mod listener;
mod network;
mod principal;
mod publishers;
mod quota;
mod reserved_names;
mod scope;
mod service;
mod store;

pub(super) use addition::added;
pub(super) use join::model;
