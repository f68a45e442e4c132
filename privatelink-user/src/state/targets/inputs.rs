//! What is known of targets beyond the configuration, as a value.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    model::{DnsName, Name, Weight},
    timestamp::Timestamp,
};

/// What health is of: a target of a service, on one of the ports that it serves, or on the one
/// port that is checked for all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetKey {
    /// The service.
    pub service: Name,
    /// The target's address.
    pub address: IpAddr,
    /// The port that is checked.
    pub port: u16,
}

/// Whether a target is well, as far as checks have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// No check has ended yet.
    Initial,
    /// It answers as it should.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Health {
    /// How lists spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A target's health, since when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The health.
    pub health: Health,
    /// Since when it has been that.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// What the outside told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// How targets with a health check are. Checks go on from here, after a start as well.
    pub health: BTreeMap<TargetKey, Condition>,
    /// The addresses of targets that are names, by service, since each may ask servers of its
    /// own; those that are absent are not known yet.
    pub resolved: BTreeMap<(Name, DnsName), Vec<IpAddr>>,
    /// What stands in the files that list targets, by service.
    pub listed: BTreeMap<Name, Vec<Listed>>,
}

/// A target in a file that lists targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its address.
    pub address: IpAddr,
    /// Its share of new flows.
    pub weight: Weight,
}
