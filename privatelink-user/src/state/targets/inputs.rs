//! What is known of targets beyond the configuration, as a value.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    model::{DnsName, Name, Port, Weight},
    timestamp::Timestamp,
};

/// What has a health: a target of a service on one of its ports, or on the one port that is
/// checked for all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetKey {
    /// Name of the service.
    pub service: Name,
    /// The target's address.
    pub address: IpAddr,
    /// The port that is checked.
    pub port: u16,
}

/// Whether a target is healthy, according to its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// No check has finished yet.
    Initial,
    /// It answers as it should.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Health {
    /// The word in lists and in the API.
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
    /// The result of its checks.
    pub health: Health,
    /// When it changed to that.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// What health checks, name servers and files last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Health of the targets that are checked. Checks continue from here, also after a restart.
    pub health: BTreeMap<TargetKey, Condition>,
    /// The addresses of targets that are names, by service, because each service may have name
    /// servers of its own. A name that is absent has not been resolved yet.
    pub resolved: BTreeMap<(Name, DnsName), Vec<IpAddr>>,
    /// The content of the files that list targets, by service.
    pub listed: BTreeMap<Name, Vec<Listed>>,
}

/// A target in a file that lists targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Address of the target.
    pub address: IpAddr,
    /// Its share of new flows.
    pub weight: Weight,
    /// Its port; `None` is that of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The group that listeners lead to it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
}
