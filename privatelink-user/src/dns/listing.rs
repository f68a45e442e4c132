//! The names of a network, as the API returns them.

use std::net::IpAddr;

use super::record::{Record, ServedNames, Zone};
use crate::interface::types::{NamesRecord, NamesZone, NetworkNames};

/// The names that a network is served, as the API returns them.
pub fn listing(network: &str, names: &ServedNames, addresses: &[IpAddr]) -> NetworkNames {
    let record = |record: &Record| NamesRecord {
        name: record.name.clone(),
        r#type: record.data.kind().to_owned(),
        data: record.data.to_string(),
    };
    let zone = |(apex, zone): (&String, &Zone)| NamesZone {
        apex: apex.clone(),
        records: zone.records.iter().map(record).collect(),
    };
    NetworkNames {
        network: network.to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        server: names.server.clone(),
        ttl: names.ttl,
        negative_ttl: names.negative_ttl(),
        zones: names.zones.iter().map(zone).collect(),
    }
}
