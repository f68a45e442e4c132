//! One of the two sides of a comparison.

use std::fmt::Display;

use crate::{
    datapath::tables::MapTables,
    model::{Model, Name},
    state::{State, targets::Inputs},
};

/// A configuration, and everything that follows from it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The validated configuration.
    pub model: &'a Model,
    /// The state that goes with it: ids, addresses, decisions.
    pub state: &'a State,
    /// What is known about targets.
    pub inputs: &'a Inputs,
    /// What the maps hold for it.
    pub tables: &'a MapTables,
}

/// The name of a service's target among the changes.
pub(super) fn target_name(service: &Name, address: impl Display) -> String {
    format!("{service} {address}")
}
