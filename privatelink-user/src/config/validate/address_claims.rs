//! Which object uses which address of a network.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use crate::{
    config::{
        diagnostic::{Fault, Report},
        source::Location,
    },
    model::Name,
};

/// A prefix that covers a whole subnet is one mistake: thousands of faults would hide it.
const CONFLICTS_PER_POOL: usize = 8;

/// What an address is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Endpoint,
    Target,
    Gateway,
}

/// One use of one address.
#[derive(Debug)]
struct AddressClaim {
    role: Role,
    owner: Name,
    at: Location,
}

impl AddressClaim {
    fn describe(&self) -> String {
        match self.role {
            Role::Endpoint => format!("the endpoint `{}`", self.owner),
            Role::Target => format!("a target of the service `{}`", self.owner),
            Role::Gateway => format!("the gateway of the network `{}`", self.owner),
        }
    }
}

/// A service's source addresses.
#[derive(Debug)]
struct ClaimedSources {
    prefix: IpNet,
    service: Name,
    at: Location,
}

/// The addresses in use, per network.
#[derive(Debug, Default)]
pub(super) struct AddressClaims(BTreeMap<Name, NetworkClaims>);

#[derive(Debug, Default)]
struct NetworkClaims {
    addresses: BTreeMap<IpAddr, Vec<AddressClaim>>,
    pools: Vec<ClaimedSources>,
}

impl AddressClaims {
    /// Records that `owner` uses an address of `network`.
    pub fn address(
        &mut self,
        network: &Name,
        address: IpAddr,
        role: Role,
        owner: &Name,
        at: Location,
    ) {
        let claims = &mut self.0.entry(network.clone()).or_default().addresses;
        claims.entry(address).or_default().push(AddressClaim { role, owner: owner.clone(), at });
    }

    /// Records that the gateway speaks for `service` from these addresses.
    pub fn sources(&mut self, network: &Name, prefix: IpNet, service: &Name, at: Location) {
        let pool = ClaimedSources { prefix, service: service.clone(), at };
        self.0.entry(network.clone()).or_default().pools.push(pool);
    }

    /// Reports every use that excludes another.
    pub fn compare(&self, report: &mut Report) {
        for (network, claims) in &self.0 {
            for (address, users) in &claims.addresses {
                endpoint_conflicts(network, *address, users, report);
            }
            for pool in &claims.pools {
                source_conflicts(network, pool, &claims.addresses, report);
            }
        }
    }
}

/// An endpoint has its address for itself. Targets and routers may coincide.
fn endpoint_conflicts(
    network: &Name,
    address: IpAddr,
    users: &[AddressClaim],
    report: &mut Report,
) {
    let mut endpoints: Vec<_> = users.iter().filter(|user| user.role == Role::Endpoint).collect();
    endpoints.sort_by_key(|user| user.at);
    let Some((first, later)) = endpoints.split_first() else { return };
    for other in later {
        report.push(
            Fault::new(format!("two endpoints have the address {address} in `{network}`"))
                .at(other.at)
                .label(format!("taken by {}", first.describe()))
                .related(first.at, "first used here")
                .help("give each endpoint an address of its own, or write `addresses = \"auto\"`"),
        );
    }
    for user in users.iter().filter(|user| user.role != Role::Endpoint) {
        let help = match user.role {
            Role::Gateway => "give the endpoint another address",
            Role::Target | Role::Endpoint => {
                "use the address of the host that serves, or give the endpoint another one: a \
                 gateway that is its own target sends packets in a circle"
            }
        };
        report.push(
            Fault::new(format!(
                "{address} in `{network}` is both {} and {}",
                user.describe(),
                first.describe()
            ))
            .at(user.at)
            .related(first.at, "the endpoint's address")
            .help(help),
        );
    }
}

/// The gateway answers for its source addresses, so no other host in the network may have one.
fn source_conflicts(
    network: &Name,
    pool: &ClaimedSources,
    addresses: &BTreeMap<IpAddr, Vec<AddressClaim>>,
    report: &mut Report,
) {
    let taken = addresses.range(pool.prefix.network()..=pool.prefix.broadcast());
    for (address, users) in taken.take(CONFLICTS_PER_POOL) {
        for user in users {
            report.push(
                Fault::new(format!(
                    "{address} in `{network}` is both a source address of the service `{}` and {}",
                    pool.service,
                    user.describe()
                ))
                .at(pool.at)
                .label(format!("includes {address}"))
                .related(user.at, "used here")
                .help("choose source addresses that nothing else in the network uses"),
            );
        }
    }
}
