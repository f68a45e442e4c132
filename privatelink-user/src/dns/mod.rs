//! Private names: what consumers call a service, in their own networks.
//!
//! ```text
//! model, state, host, time ─zones─► Names of each network ─feeder─► server ─► consumers
//!                                                          sockets ─┘
//! ```
//!
//! What is served is computed from values, as the maps are. A process of its own without any
//! rights serves it: it is the one part that reads what tenants send.

pub mod account;
pub mod channel;
pub mod export;
pub mod feeder;
pub mod record;
pub mod server;
pub mod sockets;
pub mod zones;

use std::net::IpAddr;

use crate::{
    host::HostFacts,
    interface::types::{NamesRecord, NamesZone, NetworkNames},
    model::Model,
    state::{State, targets::Inputs},
    timestamp::Timestamp,
};

pub use account::{Account, Latest};
pub use feeder::{Feeder, Wanted};
pub use record::{Data, Names, Record, Zone};
pub use zones::zones;

/// What a network is served, for whoever asks the daemon.
pub fn told(network: &str, names: &Names, addresses: &[IpAddr]) -> NetworkNames {
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

/// Computes what is to be served, and where.
pub fn wanted(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    now: Timestamp,
) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, names) in zones(model, state, facts, inputs, now) {
        let link = facts.link(&names.interface);
        if let Some(link) = link {
            let (network, ifindex) = (name.to_string(), link.index);
            let own = facts.own_addresses(ifindex);
            wanted.places.extend(own.map(|address| channel::Place {
                network: network.clone(),
                ifindex,
                address,
            }));
        }
        wanted.names.insert(name.to_string(), names);
    }
    wanted
}

#[cfg(test)]
pub(crate) mod tests;
