//! Announces the gateway's addresses to networks.

use std::collections::BTreeMap;

use log::warn;

use crate::{
    datapath::{
        bpf::{FrameSender, Mode},
        frames::announce::{ServedAddresses, frame, probe, served_addresses},
        tables::MapTables,
    },
    host::HostFacts,
};

/// The announcements that networks have received.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Announcements {
    /// `None` before the maps have been read: the previous daemon announced what they hold then.
    made: Option<ServedAddresses>,
}

impl Announcements {
    /// Notes what the maps held before this daemon first wrote them.
    pub fn note_inherited(&mut self, tables: &MapTables, facts: &HostFacts) {
        self.made.get_or_insert_with(|| served_addresses(tables, facts));
    }

    /// Announces the addresses that are new to a network, or have moved to another Ethernet
    /// address.
    pub fn announce(
        &mut self,
        tables: &MapTables,
        facts: &HostFacts,
        attached: &BTreeMap<u32, Mode>,
        sender: &FrameSender,
    ) {
        let Some(made) = &mut self.made else { return };
        let places = served_addresses(tables, facts);
        made.retain(|place, _| places.contains_key(place));
        let mut failed = None;
        for (place @ (ifindex, vlan, address), mac) in &places {
            // An interface without the program would not answer those who come.
            if made.get(place) == Some(mac) || !attached.contains_key(ifindex) {
                continue;
            }
            // A holder of the address answers the probe, which `Conflicts` notices. The address is
            // announced at once all the same: it is the operator who has assigned it, and when a
            // gateway takes over another's addresses, clients must not wait for seconds.
            let asked = sender.send(*ifindex, &probe(*mac, *vlan, *address));
            match asked.and_then(|()| sender.send(*ifindex, &frame(*mac, *vlan, *address))) {
                Ok(()) => drop(made.insert(*place, *mac)),
                Err(error) => failed = Some((*ifindex, error)),
            }
        }
        if let Some((ifindex, error)) = failed {
            warn!("could not announce some addresses on interface {ifindex}: {error}");
        }
    }
}
