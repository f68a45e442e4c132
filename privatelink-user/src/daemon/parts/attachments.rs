//! The program on the interfaces of networks: attached, kept attached, detached.

use std::collections::{BTreeMap, BTreeSet};

use log::{info, warn};

use crate::{
    chain::Chain,
    datapath::{
        bpf::{Datapath, Error, Mode},
        tables::MapTables,
    },
    host::{Host, HostFacts},
    model::Model,
};

use super::modes::{Modes, Wanted};

/// The interfaces that have the program.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Attachments {
    modes: BTreeMap<u32, Mode>,
    /// What was asked for, best first.
    wanted: BTreeMap<u32, Modes>,
}

impl Attachments {
    /// How the program is attached, by interface index.
    pub fn modes(&self) -> &BTreeMap<u32, Mode> {
        &self.modes
    }

    /// Reconciles the interfaces with the configuration, and returns what does not work.
    ///
    /// `tables` is what the maps hold: an interface that they still mention keeps the program.
    pub async fn reconcile(
        &mut self,
        model: &Model,
        host: &Host,
        datapath: &Datapath,
        tables: Option<&MapTables>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.are_incomplete(model, host.facts(), datapath).err());
        self.attach(model, host, datapath, &mut problems).await;
        problems.extend(Wanted::of(model, host.facts()).problems(&self.modes));
        if let Some(tables) = tables {
            self.detach(datapath, tables, &mut problems);
        }
        problems
    }

    /// Whether an interface that should have the program lacks it.
    ///
    /// The kernel reports a program that is attached, but not an attachment that another program
    /// removes.
    pub fn are_incomplete(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        datapath: &Datapath,
    ) -> Result<bool, String> {
        let attached = datapath.attached().map_err(|error| Chain(&error).to_string())?;
        let present: BTreeSet<u32> = attached.iter().map(|attached| attached.ifindex).collect();
        let lost = |ifindex: &u32| !present.contains(ifindex);
        let lost: Vec<u32> = self.modes.keys().copied().filter(lost).collect();
        for ifindex in &lost {
            let kind = if self.modes.remove(ifindex) == Some(Mode::Tc) { "tc" } else { "XDP" };
            if let Some(link) = facts.link_at(*ifindex) {
                warn!("another program removed the {kind} program from {}", link.name);
            }
        }
        let wanted = Wanted::of(model, facts).interfaces();
        let mut wanted = wanted.into_iter().filter(|(link, _)| link.mac.is_some());
        Ok(wanted.any(|(link, modes)| !self.is_attached(link.index, modes)))
    }

    /// Whether an interface has the program, in the mode that was found for the wanted ones.
    fn is_attached(&self, ifindex: u32, wanted: &[Mode]) -> bool {
        self.modes.contains_key(&ifindex)
            && self.wanted.get(&ifindex).is_some_and(|before| *before == wanted)
    }

    /// Attaches to the interfaces of all networks that exist and lack the program.
    async fn attach(
        &mut self,
        model: &Model,
        host: &Host,
        datapath: &Datapath,
        problems: &mut Vec<String>,
    ) {
        for (link, wanted) in Wanted::of(model, host.facts()).interfaces() {
            if link.mac.is_none() {
                continue;
            }
            if !link.allmulti
                && let Err(error) = host.take_all_multicast(link.index).await
            {
                problems.push(Chain(&error).to_string());
            }
            if self.is_attached(link.index, wanted) {
                continue;
            }
            match datapath.attach(link.index, &link.name, wanted) {
                Ok(attached) => {
                    self.modes.insert(link.index, attached.mode);
                    self.wanted.insert(link.index, wanted);
                }
                Err(error) => problems.extend(of_networks(model, &link.name, &error)),
            }
        }
    }

    /// Detaches from the interfaces that no network has any more.
    fn detach(&mut self, datapath: &Datapath, tables: &MapTables, problems: &mut Vec<String>) {
        let attached = match datapath.attached() {
            Ok(attached) => attached,
            Err(error) => return problems.push(Chain(&error).to_string()),
        };
        let indices = attached.iter().map(|attached| attached.ifindex);
        for ifindex in indices.filter(|index| !tables.attachments.contains_key(index)) {
            self.modes.remove(&ifindex);
            match datapath.detach(ifindex) {
                Ok(()) => info!("detached from interface {ifindex}"),
                Err(error) => problems.push(Chain(&error).to_string()),
            }
        }
    }
}

/// What does not work, for each network on an interface.
fn of_networks(model: &Model, interface: &str, error: &Error) -> Vec<String> {
    let networks = model.networks().values();
    networks
        .filter(|network| network.attachment.interface.as_str() == interface)
        .map(|network| format!("network {}: {}", network.name, Chain(error)))
        .collect()
}
