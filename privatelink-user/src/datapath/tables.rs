//! The content of the BPF maps as plain ordered data.
//!
//! What the configuration asks for ([`desired`](crate::desired)) and what the kernel holds
//! ([`store`](crate::datapath::store)) are both a [`Tables`]; the plan is the difference between two.

use privatelink_common::{
    Endpoint, Limits, Listener, ListenerKey, Local, LocalKey, Rule, RuleKey, Service, Source,
    TagKey, Target,
};
use std::collections::BTreeMap;

/// Every entry of every map that the daemon writes. Absent indices are zero in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Network index + 1 by interface index.
    pub attachments: BTreeMap<u32, u32>,
    /// Network index by VLAN.
    pub tagged: BTreeMap<TagKey, u32>,
    /// The gateway's own addresses.
    pub locals: BTreeMap<LocalKey, Local>,
    /// Endpoints by index.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Security rules, by set.
    pub rules: BTreeMap<RuleKey, Rule>,
    /// What endpoints may take, by index of the endpoint.
    pub limits: BTreeMap<u32, Limits>,
    /// Services by index.
    pub services: BTreeMap<u32, Service>,
    /// Listener ports.
    pub listeners: BTreeMap<ListenerKey, Listener>,
    /// Target indices that listeners' pools refer to.
    pub backends: BTreeMap<u32, u32>,
    /// Targets by index.
    pub targets: BTreeMap<u32, Target>,
    /// Source addresses by index.
    pub sources: BTreeMap<u32, Source>,
    /// Interfaces to redirect to: a set of interface indices.
    pub devices: BTreeMap<u32, ()>,
}
