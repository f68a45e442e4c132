//! Indices: the numbers by which maps and flows name networks, endpoints, services and addresses.
//!
//! A flow in the kernel outlives the daemon and holds nothing but indices, so an index must not
//! change its meaning while such a flow may exist. Therefore indices are kept on disk, grow, and
//! are reused only when no others are left.

mod exhausted;
mod indices;
mod sources;
mod usage;

use std::net::IpAddr;

use privatelink_common::{Pool, maps};
use serde::{Deserialize, Serialize};

use super::beside::Beside;
use crate::model::{Endpoint, Model, Network, Service};

pub use exhausted::Exhausted;
use indices::Indices;
use sources::SourcePool;
pub use sources::Sources;
pub use usage::{IndexKind, IndexUse};

/// Every index that is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    networks: Indices,
    endpoints: Indices,
    services: Indices,
    targets: Indices,
    sources: Sources,
}

/// An address family. Pools hold addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Whether an address is of this family.
    pub fn holds(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

impl Ids {
    /// Gives an index to everything in the model and to these targets of its services, and frees
    /// the indices of everything else that no other gateway uses.
    ///
    /// What had an index before keeps it.
    ///
    /// # Errors
    /// When there are more things than indices; nothing is changed then.
    pub fn assign<'a>(
        &mut self,
        model: &Model,
        targets: impl Iterator<Item = (&'a Service, IpAddr)>,
        beside: &Beside,
    ) -> Result<(), Exhausted> {
        let mut next = self.clone();
        // A network's index shares a word with "not attached".
        let networks = model.networks().keys().map(ToString::to_string);
        let spares = |_: &str| beside.spares_all();
        next.networks.assign(networks, spares, "networks", maps::MAX_IFINDEX)?;
        let endpoints = model.endpoints().values().map(endpoint_key);
        let spared = |key: &str| key.split(' ').next().is_some_and(|name| beside.spares(name));
        next.endpoints.assign(endpoints, spared, "endpoints", maps::MAX_ENDPOINTS)?;
        let services = model.services().keys().map(ToString::to_string);
        next.services.assign(services, spares, "services", maps::MAX_SERVICES)?;
        let targets = targets.map(|(service, address)| target_key(service, address));
        next.targets.assign(targets, |_| false, "targets", maps::MAX_TARGETS)?;
        next.sources.assign(source_pools(model))?;
        *self = next;
        Ok(())
    }

    /// What [`Self::assign`] would make of these endpoints, if nothing else has changed.
    ///
    /// # Errors
    /// When there are more than indices.
    pub fn adding(&self, endpoints: &[Endpoint]) -> Result<Self, Exhausted> {
        let mut next = self.clone();
        let keys = endpoints.iter().map(endpoint_key).collect();
        next.endpoints.add(keys, "endpoints", maps::MAX_ENDPOINTS, &mut Vec::new())?;
        Ok(next)
    }

    /// Whether this index was assigned to an endpoint at some time.
    pub fn has_assigned(&self, endpoint: u32) -> bool {
        self.endpoints.has_assigned(endpoint)
    }

    /// What turns these indices, without those of sources, into `next`.
    pub fn steps_to(&self, next: &Self) -> Vec<(IndexKind, u32, IndexUse)> {
        let steps = IndexKind::ALL.into_iter().flat_map(|kind| {
            let steps = self.of(kind).steps_to(next.of(kind)).into_iter();
            steps.map(move |(index, usage)| (kind, index, usage))
        });
        steps.collect()
    }

    /// Makes a step of [`Self::steps_to`].
    pub fn apply(&mut self, kind: IndexKind, index: u32, usage: IndexUse) {
        let indices = match kind {
            IndexKind::Network => &mut self.networks,
            IndexKind::Endpoint => &mut self.endpoints,
            IndexKind::Service => &mut self.services,
            IndexKind::Target => &mut self.targets,
        };
        indices.apply(index, usage);
    }

    /// These indices, but none of the kinds that gateways share.
    #[must_use]
    pub fn own_part(&self) -> Self {
        Self { targets: self.targets.clone(), sources: self.sources.clone(), ..Self::default() }
    }

    /// The indices of source addresses.
    pub fn source_table(&self) -> &Sources {
        &self.sources
    }

    /// Replaces the indices of source addresses.
    pub fn set_source_table(&mut self, sources: Sources) {
        self.sources = sources;
    }

    fn of(&self, kind: IndexKind) -> &Indices {
        match kind {
            IndexKind::Network => &self.networks,
            IndexKind::Endpoint => &self.endpoints,
            IndexKind::Service => &self.services,
            IndexKind::Target => &self.targets,
        }
    }

    /// The indices of endpoints that belonged to other endpoints before.
    pub fn reused_endpoints(&self, before: &Self) -> Vec<u32> {
        self.endpoints.reused_since(&before.endpoints)
    }

    /// The indices of targets that belonged to other targets before.
    pub fn reused_targets(&self, before: &Self) -> Vec<u32> {
        self.targets.reused_since(&before.targets)
    }

    /// Whether no index has been assigned yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The index of a network.
    pub fn network(&self, network: &Network) -> Option<u32> {
        self.networks.get(network.name.as_str())
    }

    /// The index of an endpoint.
    pub fn endpoint(&self, endpoint: &Endpoint) -> Option<u32> {
        self.endpoints.get(&endpoint_key(endpoint))
    }

    /// The index of a service.
    pub fn service(&self, service: &Service) -> Option<u32> {
        self.services.get(service.name.as_str())
    }

    /// The index of a target.
    pub fn target(&self, service: &Service, address: IpAddr) -> Option<u32> {
        self.targets.get(&target_key(service, address))
    }

    /// Every target that has an index: the names of its service and network, and its address.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &str, IpAddr)> {
        self.targets.keys().filter_map(|key| {
            let (service, rest) = key.split_once(' ')?;
            let (network, address) = rest.split_once(' ')?;
            Some((service, network, address.parse().ok()?))
        })
    }

    /// The range of a service's source addresses.
    pub fn source_pool(&self, service: &Service, family: Family) -> Pool {
        self.sources.pool(&pool_key(service, family))
    }

    /// Every source index that may be in use, by flows as well, with its network and address.
    pub fn sources(&self) -> impl Iterator<Item = (u32, &str, IpAddr)> {
        self.sources.entries()
    }
}

/// A service's source addresses of one family, in order.
fn sources_of(service: &Service, family: Family) -> Vec<IpAddr> {
    let mut addresses = service.source_addresses.clone();
    addresses.retain(|address| family.holds(*address));
    addresses.sort_unstable();
    addresses
}

fn source_pools(model: &Model) -> Vec<SourcePool> {
    let of = |service: &Service| {
        Family::BOTH.map(|family| SourcePool {
            key: pool_key(service, family),
            network: service.network.clone(),
            addresses: sources_of(service, family),
        })
    };
    model.services().values().flat_map(of).collect()
}

/// An endpoint that is moved to another service or network is another endpoint: its flows end.
fn endpoint_key(endpoint: &Endpoint) -> String {
    [endpoint.name.as_str(), endpoint.service.as_str(), endpoint.network.as_str()].join(" ")
}

fn target_key(service: &Service, address: IpAddr) -> String {
    format!("{} {} {address}", service.name, service.network)
}

fn pool_key(service: &Service, family: Family) -> String {
    [service.name.as_str(), family.suffix()].join(" ")
}
