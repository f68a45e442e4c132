//! What the daemon publishes for scrapes: the names behind the indices that the maps count by, and
//! the states that no map holds.
//!
//! The daemon publishes one after each convergence. A scrape takes the last, so it neither waits
//! for the daemon's loop nor keeps it from its work, and still answers when that is stuck.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::text::labels;
use crate::{
    desired::share::{self, PortPool},
    interface::types,
    state::connection::Acceptance,
    timestamp::Timestamp,
    view::status::{Overview, UNREACHABLE},
};

/// What the daemon has done since it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it was started.
    pub started: Timestamp,
    /// Whether packets can flow.
    pub ready: bool,
    /// How many problems the status shows.
    pub problems: usize,
    /// When maps and interfaces were last reconciled without an error.
    pub converged: Option<Timestamp>,
    /// Reloads that were applied.
    pub reloaded: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// Whether the last reload was applied.
    pub last_applied: bool,
    /// When the configuration in force was read.
    pub applied: Timestamp,
    /// How long the last reload took.
    pub took: Duration,
}

impl Progress {
    /// A daemon that has just started.
    pub fn begin() -> Self {
        let now = Timestamp::now();
        Self {
            started: now,
            ready: false,
            problems: 0,
            converged: None,
            reloaded: 0,
            refused: 0,
            last_applied: true,
            applied: now,
            took: Duration::ZERO,
        }
    }

    /// Notes the end of a reload.
    pub fn reloaded(&mut self, applied: bool, took: Duration) {
        self.last_applied = applied;
        self.took = took;
        if applied {
            self.reloaded += 1;
            self.applied = Timestamp::now();
        } else {
            self.refused += 1;
        }
    }
}

/// The objects that a scrape shows, under the names that they have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The name of the gateway.
    pub gateway: String,
    /// Flows that the flow table has room for.
    pub capacity: u64,
    /// What the daemon has done since it was started.
    pub progress: Progress,
    /// The networks.
    pub networks: Vec<Network>,
    /// The principals.
    pub principals: BTreeSet<String>,
    /// How much they have, and may have; flows are counted when a page is written.
    pub uses: Vec<types::PrincipalUse>,
    /// The services.
    pub services: Vec<Service>,
    /// The targets of all services.
    pub targets: Vec<Target>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The source addresses, by index.
    pub sources: BTreeMap<u32, IpAddr>,
}

/// A network, for the metrics that are labelled by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The name.
    pub name: String,
    /// The labels of its samples, as a page has them.
    pub labels: String,
    /// Whether packets are forwarded there.
    pub attached: bool,
}

/// A service, for the metrics that are labelled by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name, for `privatelink status`.
    pub name: String,
    /// The labels of its samples, as a page has them.
    pub labels: String,
    /// The network of its targets.
    pub network: String,
    /// The addresses from which the gateway connects to the targets.
    pub sources: Vec<IpAddr>,
    /// How many endpoints lead to it, by state.
    pub endpoints: BTreeMap<Acceptance, u64>,
    /// How many targets it has, by health.
    pub targets: BTreeMap<String, u64>,
}

/// A target, for the metrics that are labelled by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The index under which the maps count.
    pub index: u32,
    /// The labels of its samples, as a page has them.
    pub labels: String,
    /// The place of its service in [`Inventory::services`].
    pub service: usize,
    /// The address, which targets of other services may share.
    pub address: IpAddr,
    /// Whether its next hop answers.
    pub resolved: bool,
}

/// An endpoint, for the metrics that are labelled by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The index under which the maps count.
    pub index: u32,
    /// The labels of its samples, as a page has them.
    pub labels: String,
    /// The state of its connection.
    pub state: Acceptance,
    /// Flows that it may count on.
    pub flow_share: u64,
    /// The place of its principal in [`Inventory::uses`].
    pub owner: Option<usize>,
    /// The source addresses of its flows.
    pub port_pools: Vec<PortPool>,
}

/// The healths that have a sample even if no target has them, so that alerts see a 0.
const HEALTHS: [&str; 2] = ["healthy", UNHEALTHY];
const UNHEALTHY: &str = "unhealthy";

impl Inventory {
    /// Everything that the overview shows.
    pub fn of(overview: &Overview<'_>, progress: Progress) -> Self {
        let gateway = overview.model.gateway();
        let mut inventory = Self {
            gateway: gateway.name.to_string(),
            capacity: gateway.max_flows.get().into(),
            progress,
            networks: overview.networks().iter().map(Network::of).collect(),
            principals: overview.principals().into_iter().map(ToString::to_string).collect(),
            uses: overview.principal_uses(),
            services: Vec::new(),
            targets: Vec::new(),
            endpoints: Vec::new(),
            sources: overview
                .state
                .ids
                .sources()
                .map(|(index, _, address)| (index, address))
                .collect(),
        };
        let endpoints = inventory.add_endpoints(overview);
        inventory.add_services(overview, endpoints);
        inventory
    }

    /// Adds the endpoints; returns how many each service has, by state.
    fn add_endpoints(
        &mut self,
        overview: &Overview<'_>,
    ) -> BTreeMap<String, BTreeMap<Acceptance, u64>> {
        let mut counts: BTreeMap<String, BTreeMap<Acceptance, u64>> = BTreeMap::new();
        let shares = share::of_endpoints(overview.model, &overview.state.ids);
        let mut pools = share::port_pools(overview.model, &overview.state.ids, &shares);
        let owners = self.uses.iter().enumerate();
        let owners: BTreeMap<String, usize> =
            owners.map(|(place, one)| (one.name.clone(), place)).collect();
        for endpoint in overview.seen_endpoints() {
            let Some(index) = overview.state.ids.endpoint(endpoint) else { continue };
            let state = overview.acceptance(endpoint);
            let (service, network) = (endpoint.service.as_str(), endpoint.network.as_str());
            let labels = labels(&[
                ("endpoint", endpoint.name.as_str()),
                ("service", service),
                ("network", network),
            ]);
            if !counts.contains_key(service) {
                let none = Acceptance::ALL.into_iter().map(|state| (state, 0)).collect();
                counts.insert(service.to_owned(), none);
            }
            if let Some(count) = counts.get_mut(service).and_then(|of| of.get_mut(&state)) {
                *count += 1;
            }
            let flow_share = shares.get(&index).map_or(0, |share| share.flows.into());
            let port_pools = pools.remove(&index).unwrap_or_default();
            let owner = overview.model.networks().get(&endpoint.network);
            let owner = owner.and_then(|one| owners.get(one.principal.as_str()).copied());
            self.endpoints.push(Endpoint { index, labels, state, flow_share, owner, port_pools });
        }
        counts
    }

    fn add_services(
        &mut self,
        overview: &Overview<'_>,
        mut endpoints: BTreeMap<String, BTreeMap<Acceptance, u64>>,
    ) {
        let services = overview.model.services();
        for told in overview.services() {
            let Some(service) = services.get(told.name.as_str()) else { continue };
            let mut healths: BTreeMap<String, u64> =
                HEALTHS.into_iter().map(|health| (health.to_owned(), 0)).collect();
            for target in worst(&told.targets) {
                *healths.entry(target.health.clone()).or_default() += 1;
                let Ok(address) = target.address.parse() else { continue };
                let Some(index) = overview.state.ids.target(service, address) else { continue };
                self.targets.push(Target {
                    index,
                    labels: labels(&[("service", &told.name), ("target", &target.address)]),
                    service: self.services.len(),
                    address,
                    resolved: target.mac.is_some(),
                });
            }
            let none = || Acceptance::ALL.into_iter().map(|state| (state, 0)).collect();
            self.services.push(Service {
                labels: labels(&[("service", &told.name)]),
                endpoints: endpoints.remove(&told.name).unwrap_or_else(none),
                name: told.name,
                network: told.network,
                sources: service.source_addresses.clone(),
                targets: healths,
            });
        }
    }
}

/// The targets by address. The overview has one for each of its ports; it counts as unhealthy if it
/// is on any of them.
fn worst(targets: &[types::Target]) -> impl Iterator<Item = &types::Target> {
    let mut found: BTreeMap<&str, &types::Target> = BTreeMap::new();
    for target in targets {
        let worst = found.entry(&target.address).or_insert(target);
        let is_worse = target.health == UNREACHABLE && worst.health != UNHEALTHY;
        if target.health == UNHEALTHY || is_worse {
            *worst = target;
        }
    }
    found.into_values()
}

impl Network {
    fn of(told: &types::Network) -> Self {
        let mode = told.xdp_mode.as_deref().unwrap_or("none");
        let labels =
            labels(&[("network", &told.name), ("interface", &told.interface), ("mode", mode)]);
        Self { name: told.name.clone(), labels, attached: told.xdp_mode.is_some() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::timestamp::{ClockOffset, Moment};
    use crate::{
        access::Rights,
        config,
        datapath::bpf::Mode,
        host::{HostFacts, Link},
        state::{State, targets::Inputs},
        view::flows::FlowCounts,
    };

    /// Two services that share a target's address and some source addresses, and an endpoint of
    /// the first.
    pub fn inventory() -> Inventory {
        let service = |name: &str, sources: &str| {
            format!(
                "[[service]]\nname = \"{name}\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
                 acceptance = \"manual\"\nallow = [\"*\"]\nsource_addresses = [{sources}]\n\
                 [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
                 [[service.listener]]\nprotocol = \"tcp\"\nport = 81\n\
                 [[service.target]]\naddress = \"10.0.0.10\"\n"
            )
        };
        let network = |name: &str, subnet: &str| {
            format!(
                "[[network]]\nname = \"{name}\"\nprincipal = \"{name}\"\ninterface = \"{name}0\"\n\
                 subnets = [\"{subnet}\"]\n"
            )
        };
        let text = [
            "[gateway]\nname = \"gw-a\"\nmax_flows = 1000\n\
             [[principal]]\nname = \"acme\"\nquota = { endpoints = 5 }\n"
                .to_owned(),
            network("acme", "10.1.0.0/24"),
            network("vendor", "10.0.0.0/24"),
            service("a", "\"10.0.0.240\", \"10.0.0.241\""),
            service("b", "\"10.0.0.240\", \"10.0.0.241\", \"10.0.0.242\""),
            "[[endpoint]]\nname = \"acme-a\"\nservice = \"a\"\nnetwork = \"acme\"\n\
             addresses = [\"10.1.0.50\"]\n"
                .to_owned(),
        ];
        let loaded = config::from_text("test.toml", &text.concat());
        let model = loaded.unwrap_or_else(|wrong| panic!("{wrong}")).model;
        let mut facts = HostFacts::default();
        facts.insert_link(Link {
            index: 3,
            name: "vendor0".into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: true,
            allmulti: true,
            tag: None,
        });
        let mut state = State::default();
        state.follow(&model, &facts, &Inputs::default(), Timestamp::now()).unwrap();
        let overview = Overview {
            origins: &crate::config::Origins::default(),
            model: &model,
            state: &state,
            rights: &Rights::All,
            facts: &facts,
            attached: &BTreeMap::from([(3, Mode::Native)]),
            flows: &FlowCounts::default(),
            inputs: &Inputs::default(),
            at: Moment { now: Timestamp::now(), ahead: ClockOffset::default() },
        };
        Inventory::of(&overview, Progress::begin())
    }

    #[test]
    fn everything_with_a_name_is_there() {
        let inventory = inventory();
        let labels: Vec<&str> = inventory.networks.iter().map(|one| one.labels.as_str()).collect();
        let acme = "network=\"acme\",interface=\"acme0\",mode=\"none\"";
        let vendor = "network=\"vendor\",interface=\"vendor0\",mode=\"native\"";
        assert_eq!(labels, [acme, vendor]);
        assert!(!inventory.networks[0].attached);
        let [a, b] = inventory.services.as_slice() else { panic!("{inventory:?}") };
        assert_eq!(
            (a.endpoints[&Acceptance::Pending], a.endpoints[&Acceptance::Available]),
            (1, 0)
        );
        assert_eq!(b.endpoints.values().sum::<u64>(), 0);
        assert_eq!((b.targets["healthy"], b.targets["unhealthy"]), (0, 0));
        assert_eq!(b.targets["unreachable"], 1, "its next hop is not known");
        let target = &inventory.targets[0];
        assert_eq!(
            (target.labels.as_str(), target.resolved),
            ("service=\"a\",target=\"10.0.0.10\"", false)
        );
        let endpoint = &inventory.endpoints[0];
        assert_eq!(endpoint.labels, "endpoint=\"acme-a\",service=\"a\",network=\"acme\"");
        assert_eq!(inventory.sources.len(), 3, "{:?}", inventory.sources);
    }
}
