//! What is known of the gateway where a test is prepared.

use std::{collections::BTreeMap, net::IpAddr};

use privatelink_common::Reason;

use crate::{datapath::tables::MapTables, dns::WantedNames, view::status::Overview};

/// What a subject is made from, besides what everybody is shown.
pub struct Surroundings<'a> {
    /// The view of an administrator.
    pub view: &'a Overview<'a>,
    /// What the maps hold, while that is known.
    pub tables: Option<&'a MapTables>,
    /// What the name server should serve.
    pub names: &'a WantedNames,
    /// What is wrong with the name server.
    pub names_problems: Vec<String>,
    /// What has been refused, by endpoint and reason.
    pub drops: BTreeMap<u32, BTreeMap<Reason, u64>>,
    /// Which addresses of the gateway other hosts use, by interface.
    pub conflicts: Vec<(u32, IpAddr, String)>,
}
