//! The program on interfaces: put there, kept there, taken off again.

use std::collections::BTreeSet;

use log::{info, warn};

use crate::chain::Chain;
use crate::daemon::gateway::Gateway;

impl Gateway {
    /// Brings the interfaces after the configuration; returns what does not work.
    pub(in crate::daemon) async fn follow_interfaces(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.look_at_interfaces().err());
        self.attach(&mut problems).await;
        self.detach(&mut problems);
        problems
    }

    /// Looks whether the program is where it should be; `true` if somewhere it is not.
    ///
    /// The kernel tells of a program that is put on an interface, but not of an attachment that
    /// somebody removes.
    pub fn look_at_interfaces(&mut self) -> Result<bool, String> {
        let attached = self.datapath.attached().map_err(|error| Chain(&error).to_string())?;
        let present: BTreeSet<u32> = attached.iter().map(|attached| attached.ifindex).collect();
        let lost = |ifindex: &u32| !present.contains(ifindex);
        let lost: Vec<u32> = self.attached.keys().copied().filter(lost).collect();
        for ifindex in &lost {
            self.attached.remove(ifindex);
            if let Some(link) = self.host.facts().link_at(*ifindex) {
                warn!("somebody has taken the program off {}", link.name);
            }
        }
        let networks = self.loaded.model.networks().values();
        let mut links = networks
            .filter_map(|network| self.host.facts().link(network.attachment.interface.as_str()));
        Ok(links.any(|link| link.mac.is_some() && !self.attached.contains_key(&link.index)))
    }

    /// Attaches to the interfaces of all networks that are there and not attached yet.
    async fn attach(&mut self, problems: &mut Vec<String>) {
        for network in self.loaded.model.networks().values() {
            let Some(link) = self.host.facts().link(network.attachment.interface.as_str()) else {
                continue;
            };
            if link.mac.is_none() {
                continue;
            }
            if !link.allmulti
                && let Err(error) = self.host.take_all_multicast(link.index).await
            {
                problems.push(Chain(&error).to_string());
            }
            if self.attached.contains_key(&link.index) {
                continue;
            }
            match self.datapath.attach(link.index, &link.name) {
                Ok(attached) => {
                    self.attached.insert(link.index, attached.mode);
                }
                Err(error) => {
                    problems.push(format!("network {}: {}", network.name, Chain(&error)));
                }
            }
        }
    }

    /// Detaches from interfaces that no network has any more.
    fn detach(&mut self, problems: &mut Vec<String>) {
        let Some(tables) = &self.actual else { return };
        let attached = match self.datapath.attached() {
            Ok(attached) => attached,
            Err(error) => return problems.push(Chain(&error).to_string()),
        };
        let indices = attached.iter().map(|attached| attached.ifindex);
        for ifindex in indices.filter(|index| !tables.attachments.contains_key(index)) {
            self.attached.remove(&ifindex);
            match self.datapath.detach(ifindex) {
                Ok(()) => info!("interface {ifindex} detached"),
                Err(error) => problems.push(Chain(&error).to_string()),
            }
        }
    }
}
