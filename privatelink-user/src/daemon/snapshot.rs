//! The gateway as it is now, for those who only read.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use privatelink_common::EndpointCounters;

use super::parts::{
    Backbone, Connections, Publisher, Readiness, Records, Targets, capacity, sharing,
};
use crate::{
    access::{Caller, Rights},
    api::request::{Flows, Refused, TargetCounts},
    chain::Chain,
    config::Origins,
    datapath::{
        bpf::{Datapath, Mode, Reader},
        flow_records::FlowRecords,
        tables::MapTables,
    },
    dns::{self, Feeder},
    events::Bus,
    flow_log::Clock,
    host::{HostFacts, is_link_local},
    interface::types::{self, FlowQuery},
    model::{Destination, FlowLog, LogFormat, Model},
    state::{
        GroupStore, State,
        connection::Acceptance,
        objects::{Content, Kind, ObjectName},
        targets::Inputs,
    },
    timestamp::{Moment, Timestamp},
    view::{
        flows::{Filter, FlowCounts, Listing},
        status::{self, shortages},
        usage::Usage,
        whois::{Criteria, When, WhoisLookup},
    },
};

/// References to everything that answers are made from.
#[derive(Clone, Copy)]
pub(super) struct Snapshot<'a> {
    /// The configuration in force.
    pub model: &'a Model,
    /// Where it declares what.
    pub origins: &'a Origins,
    /// What is kept.
    pub state: &'a State,
    /// The host.
    pub facts: &'a HostFacts,
    /// What is known of targets.
    pub inputs: &'a Inputs,
    /// Which targets take the new flows of which listener.
    pub targets: &'a Targets,
    /// The interfaces that have the program.
    pub attached: &'a BTreeMap<u32, Mode>,
    /// The programs and maps.
    pub datapath: &'a Datapath,
    /// What the maps hold, while that is known.
    pub tables: Option<&'a MapTables>,
    /// The name server.
    pub dns: &'a Feeder,
    /// The links to other sites.
    pub backbone: &'a Backbone,
    /// The flow log.
    pub records: &'a Records,
    /// The events.
    pub events: &'a Bus,
    /// The metrics.
    pub publisher: &'a Publisher,
    /// Whether packets can flow, and what does not work.
    pub readiness: &'a Readiness,
    /// The group whose state it is; `None` if it is this gateway's alone.
    pub group: Option<&'a GroupStore>,
    /// The time.
    pub at: Moment,
}

impl Snapshot<'_> {
    /// What these rights show of configuration and host, with these counts of flows.
    pub fn view<'b>(&'b self, rights: &'b Rights, flows: &'b FlowCounts) -> status::Overview<'b> {
        let Self { model, state, facts, inputs, attached, at, origins, .. } = *self;
        status::Overview { model, state, rights, facts, inputs, at, attached, flows, origins }
    }

    /// The connections.
    pub fn connections(&self) -> Connections<'_> {
        let (model, backbone) = (self.model, Some(self.backbone));
        Connections { model, all: &self.state.connections, backbone, at: self.at }
    }

    /// What reads the flow table.
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(self.datapath.reader())
    }

    /// How many flows each endpoint has, and each target by these counts.
    pub fn counts(&self, targets: TargetCounts) -> FlowCounts {
        FlowCounts { targets, ..self.endpoint_counts() }
    }

    /// How many flows each endpoint has, without a look at every flow.
    pub fn endpoint_counts(&self) -> FlowCounts {
        let endpoints = self.model.endpoints().values();
        let ids = &self.state.ids;
        let indices: Vec<u32> = endpoints.filter_map(|endpoint| ids.endpoint(endpoint)).collect();
        let flows = self.datapath.reader().active_flows(&indices);
        FlowCounts { endpoints: indices.into_iter().zip(flows).collect(), ..FlowCounts::default() }
    }

    /// The names that a network is served.
    pub fn names(&self, rights: &Rights, network: &str) -> Result<types::NetworkNames, Refused> {
        let found = self.model.networks().get(network);
        let Some(found) = found.filter(|network| rights.see_network(network)) else {
            let seen = self.model.networks().values().filter(|one| rights.see_network(one));
            let known = seen.map(|one| one.name.as_str());
            return Err(Refused::unknown("network", network, known));
        };
        let wanted = self.dns.wanted();
        let Some(names) = wanted.names.get(network) else {
            let error = "is not served names: write `dns = true` in its table, and reload";
            return Err(Refused::Failed(format!("network {network} {error}")));
        };
        let link = self.facts.stack(&found.attachment);
        let own = link.into_iter().flat_map(|link| self.facts.own_addresses(link.index));
        let own: Vec<_> = own.filter(|address| !is_link_local(*address)).collect();
        Ok(dns::listing(network, names, &own))
    }

    /// Whether the flow table was made for another `max_flows`.
    pub fn is_of_other_capacity(&self) -> bool {
        capacity::problem(self.model.gateway(), self.datapath.regions()).is_some()
    }

    /// One service, and what the API has written of it.
    pub fn service(
        &self,
        rights: &Rights,
        name: &str,
        counts: &FlowCounts,
    ) -> Result<types::Service, Refused> {
        let services = self.view(rights, counts).services();
        let known = || services.iter().map(|one| one.name.as_str());
        let missing = || Refused::unknown("service", name, known());
        let mut service =
            services.iter().find(|one| one.name == name).cloned().ok_or_else(missing)?;
        service.definition = self.definition(Kind::Service, name);
        Ok(service)
    }

    /// One endpoint, and what the API has written of it.
    pub fn endpoint(&self, rights: &Rights, name: &str) -> Result<types::Endpoint, Refused> {
        let endpoints = self.endpoints(rights, &self.endpoint_counts())?;
        let known = || endpoints.iter().map(|one| one.name.as_str());
        let missing = || Refused::unknown("endpoint", name, known());
        let mut endpoint =
            endpoints.iter().find(|one| one.name == name).cloned().ok_or_else(missing)?;
        endpoint.definition = self.definition(Kind::Endpoint, name);
        Ok(endpoint)
    }

    fn definition(&self, kind: Kind, name: &str) -> Option<Content> {
        let name = name.parse().ok()?;
        self.state.objects.get(&ObjectName { kind, name }).map(|object| object.content.clone())
    }

    /// All that the API has made and the caller may see.
    pub fn objects(&self, rights: &Rights) -> types::ObjectSet {
        let mut set = types::ObjectSet::default();
        for (name, object) in &self.state.objects {
            match name.kind {
                Kind::Service => {
                    let service = self.model.services().get(&name.name);
                    if service.is_some_and(|one| rights.see_service(one)) {
                        set.service.push(object.content.clone());
                    }
                }
                Kind::Endpoint => {
                    let endpoint = self.model.endpoints().get(&name.name);
                    if endpoint.is_some_and(|one| rights.see_endpoint(self.model, one)) {
                        set.endpoint.push(object.content.clone());
                    }
                }
            }
        }
        set
    }

    /// The whole status, as far as the caller may see it.
    pub fn status(&self, caller: &Caller, counts: TargetCounts) -> Result<types::Status, Refused> {
        let gateway = self.model.gateway();
        let counts = self.counts(counts);
        let view = self.view(&caller.rights, &counts);
        // Flow log, subscribers, drops and problems concern everyone's things.
        let all = caller.administrates().is_ok();
        let reader = self.datapath.reader();
        let drops = if all { reader.drops().map_err(failed)? } else { Vec::new() };
        let active = reader.flow_count().map_err(failed)?;
        let capacity = capacity::of(gateway, self.datapath.regions());
        let recent_drops =
            if all { self.publisher.recent_drops(Instant::now(), &drops) } else { Vec::new() };
        let mut waiting = self.connections().list(&caller.rights);
        waiting.retain(|connection| connection.state == Acceptance::Pending.word());
        Ok(types::Status {
            gateway: gateway.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: self.readiness.is_ready(),
            waits_for: if all { self.readiness.waits_for() } else { Vec::new() },
            uptime_seconds: self.readiness.uptime().as_secs(),
            networks: view.networks(),
            services: view.services(),
            endpoints: self.endpoints(&caller.rights, &counts)?,
            flows: types::FlowTable { active, capacity },
            principals: view.principal_uses(),
            waiting,
            fleet: if all { self.group.map(sharing::fleet) } else { None },
            flow_log: if all { self.records.status() } else { None },
            subscribers: if all { self.events.subscribers() } else { Vec::new() },
            left_out: self.left_out(&caller.rights),
            recent_drops,
            drops: status::drops(drops),
            problems: if all { self.problems(active, capacity) } else { Vec::new() },
            partial: !all,
        })
    }

    /// What the principals that the caller acts for have caused beyond their budgets.
    fn left_out(&self, rights: &Rights) -> Vec<types::LeftOut> {
        let mut all = self.publisher.source().left_out();
        all.retain(|one| rights.see_principal(&one.principal));
        all
    }

    fn problems(&self, active: u64, capacity: u64) -> Vec<String> {
        let ports = self.publisher.source_ports();
        let shortages = shortages(Usage { used: active, of: capacity }, &ports);
        let unserved = self.publisher.unserved(Instant::now(), self.model, &self.state.ids);
        [self.readiness.problems(), &self.dns.problems(), &shortages, &unserved].concat()
    }

    /// The endpoints, with their counters.
    pub fn endpoints(
        &self,
        rights: &Rights,
        counts: &FlowCounts,
    ) -> Result<Vec<types::Endpoint>, Refused> {
        let view = self.view(rights, counts);
        let ids = &self.state.ids;
        let indices: Vec<u32> =
            view.seen_endpoints().filter_map(|endpoint| ids.endpoint(endpoint)).collect();
        let counters = self.datapath.reader().counters(&indices).map_err(failed)?;
        let counters: BTreeMap<u32, EndpointCounters> = indices.into_iter().zip(counters).collect();
        let drops = self.datapath.reader().endpoint_drops().map_err(failed)?;
        let counted = |index| {
            let dropped = drops.get(&index).map_or(0, |reasons| reasons.values().sum());
            (counters.get(&index).copied().unwrap_or_default(), dropped)
        };
        Ok(view.endpoints(counted, &self.datapath.reader().source_ports()))
    }

    /// What a listing of flows is made from. The listing itself takes long, and is not done here.
    pub fn flows(&self, query: &FlowQuery, filter: Filter) -> Result<Flows, Refused> {
        let endpoints = self.model.endpoints();
        if let Some(name) = &query.endpoint
            && !endpoints.contains_key(name.as_str())
        {
            let known = endpoints.keys().map(|known| known.as_str());
            return Err(Refused::unknown("endpoint", name, known));
        }
        let wanted = endpoints.values().filter(|endpoint| {
            query.endpoint.as_ref().is_none_or(|name| endpoint.name.as_str() == name)
        });
        let ids = &self.state.ids;
        let named = wanted.filter_map(|one| Some((ids.endpoint(one)?, one.name.to_string())));
        let names = named.collect();
        let parts = self.flow_records()?;
        let limit = query.limit.unwrap_or(FlowQuery::DEFAULT_LIMIT).into();
        let now = self.datapath.now_ticks().map_err(failed)?;
        let listing = Listing { parts, names, filter, limit, now };
        Ok(Flows { listing, reader: Arc::clone(self.datapath.reader()) })
    }

    /// What a search for the client behind a source address is made from.
    pub fn whois(
        &self,
        criteria: Criteria,
        rights: Rights,
    ) -> Result<(WhoisLookup, Arc<Reader>), Refused> {
        let log = match self.model.gateway().flow_log.as_ref() {
            _ if criteria.when == When::Now => Vec::new(),
            Some(FlowLog {
                to: Destination::File(path),
                format: LogFormat::Json,
                rotate_count,
                ..
            }) => WhoisLookup::files(path, rotate_count.get()),
            Some(_) | None => {
                let error = "the past is known only with a flow log in a file, in the format \
                             \"json\": set `[gateway.flow_log]`";
                return Err(Refused::Failed(error.into()));
            }
        };
        let ticks = self.datapath.now_ticks().map_err(failed)?;
        let clock = Clock { ticks, now: Timestamp::now() };
        let (parts, names) = (self.flow_records()?, Arc::clone(self.records.names()));
        let search = WhoisLookup { criteria, rights, parts, names, clock, log };
        Ok((search, Arc::clone(self.datapath.reader())))
    }

    fn flow_records(&self) -> Result<FlowRecords, Refused> {
        let busy = || Refused::Failed("the maps are being written; try again".into());
        self.tables.map(FlowRecords::of).ok_or_else(busy)
    }
}

/// The caller's request failed, for this reason.
pub(super) fn failed(error: impl std::error::Error) -> Refused {
    Refused::Failed(Chain(&error).to_string())
}
