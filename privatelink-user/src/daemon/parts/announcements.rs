//! Tells networks where the gateway's addresses are.

use log::warn;

use crate::daemon::gateway::Gateway;
use crate::datapath::{
    frames::announce::{Places, frame, places},
    tables::Tables,
};

/// What networks were told.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Announcements {
    /// `None` before the maps have been read: what they hold then was told by the daemon before.
    told: Option<Places>,
}

impl Gateway {
    /// Remembers where addresses were served before this daemon began.
    pub(in crate::daemon) fn remember_places(&mut self, before: &Tables) {
        if self.announcements.told.is_none() {
            self.announcements.told = Some(places(before, self.host.facts()));
        }
    }

    /// Tells networks of addresses that they do not know yet, or that are elsewhere now.
    pub(in crate::daemon) fn announce(&mut self) {
        let (Some(tables), Some(told), Some(sender)) =
            (&self.actual, &mut self.announcements.told, self.endings.sender())
        else {
            return;
        };
        let places = places(tables, self.host.facts());
        told.retain(|place, _| places.contains_key(place));
        let mut failed = None;
        for (place @ (ifindex, vlan, address), mac) in &places {
            // Nobody would get an answer by an interface without the program.
            if told.get(place) == Some(mac) || !self.attached.contains_key(ifindex) {
                continue;
            }
            match sender.send(*ifindex, &frame(*mac, *vlan, *address)) {
                Ok(()) => drop(told.insert(*place, *mac)),
                Err(error) => failed = Some((*ifindex, error)),
            }
        }
        if let Some((ifindex, error)) = failed {
            warn!("some addresses were not announced on interface {ifindex}: {error}");
        }
    }
}
