//! Networks that would lock somebody out of the host.
//!
//! A network keeps its packets from the host unless `host` says otherwise. Where people reach the
//! host, or the host reaches others, through that very interface, the operator has to write which.

use super::{diagnostic::Diagnostics, load::Loaded, source::ObjectKind};
use crate::{
    host::{Reach, reach},
    model::Network,
};

/// The port of names.
const NAMES: u16 = 53;

/// Refuses networks without `host` whose interface the host is reached by. It only reads, and finds
/// nothing where there are no such interfaces.
///
/// # Errors
/// Every such network.
pub fn review(loaded: &Loaded) -> Result<(), Diagnostics> {
    let silent = loaded.model.networks().values().filter(|network| network.host.is_none());
    let refused = silent.filter_map(|network| {
        // Whoever asks for names would otherwise decide whether there can be a reload.
        let reach = reach(&network.attachment, |port| network.dns && port == NAMES)?;
        Some(loaded.sources.refuse(
            ObjectKind::Network,
            &network.name,
            "host",
            message(network, &reach),
            "write `host = \"services\"` if the host is to be reached by another interface: it \
             then gets nothing from this network but what the gateway needs; or `host = \"all\"` \
             to let everything through to it, as before",
        ))
    });
    refused.reduce(Diagnostics::and).map_or(Ok(()), Err)
}

fn message(network: &Network, reach: &Reach) -> String {
    let attachment = &network.attachment;
    format!(
        "the network `{}` would cut the host off: it is on {attachment}, and {reach}",
        network.name
    )
}
