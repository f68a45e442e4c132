//! What a running gateway tells those who ask.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use log::error;
use privatelink_common::EndpointCounters;
use tokio::sync::watch;

use super::{Error, gateway::Gateway};
use crate::{
    access::{Caller, Rights},
    api::request::{Flows, Question, Refused, Request},
    chain::Chain,
    config::{self, Diagnostics},
    datapath::{
        bpf::{self, Datapath, Reader},
        flow_records::FlowRecords,
        tables::Tables,
    },
    dns,
    events::{Event, Kind},
    flow_log::Clock,
    host::is_link_local,
    interface::types::{self, Configuration, Difference, FlowQuery, Problem},
    model::{Destination, FlowLog, LogFormat},
    state::connection::Acceptance,
    timestamp::Timestamp,
    view::{
        flows::{self, Counts, Filter, Listing},
        status::{self, shortages},
        usage::Usage,
        whois::{Asked, Search, When},
    },
};

/// How many may follow events at a time.
const FOLLOWERS: usize = 16;

impl Gateway {
    /// Answers a question, if whoever asks has the right to. `true` if forwarding was stopped.
    pub async fn answer(&mut self, question: Question) -> bool {
        // Whoever asked may have gone: then nobody misses the answer.
        let caller = Caller::of(&question.from, &self.loaded.model, self.administrators);
        let caller = caller.map_err(Refused::from);
        // No answer is given before the caller has been looked at.
        match question.request {
            Request::Status(reply) => {
                drop(reply.send(caller.and_then(|caller| self.status(&caller))));
            }
            Request::Networks(reply) => drop(reply.send(
                caller.map(|caller| self.view(&caller.rights, &Counts::default()).networks()),
            )),
            Request::Names(network, reply) => {
                drop(reply.send(caller.and_then(|caller| self.names(&caller.rights, &network))));
            }
            Request::Services(reply) => {
                drop(reply.send(caller.map(|c| self.view(&c.rights, &self.counts()).services())))
            }
            Request::Endpoints(reply) => drop(
                reply.send(caller.and_then(|c| self.endpoints(&c.rights, &self.endpoint_counts()))),
            ),
            Request::Targets(reply) => {
                drop(reply.send(caller.map(|c| self.view(&c.rights, &self.counts()).all_targets())))
            }
            Request::Flows(query, filter, reply) => {
                drop(reply.send(administrator(caller).and_then(|()| self.flows(&query, filter))));
            }
            Request::Whois(asked, reply) => {
                drop(reply.send(caller.and_then(|caller| self.whois(asked, caller.rights))));
            }
            Request::Connections(reply) => {
                drop(reply.send(caller.map(|caller| self.connections(&caller))));
            }
            Request::Connection(name, reply) => {
                drop(reply.send(caller.and_then(|caller| self.connection(&caller, &name))));
            }
            Request::Decide(name, decision, reason, reply) => {
                let decided =
                    caller.and_then(|caller| self.decide(&caller, &name, decision, reason));
                tokio::task::spawn_blocking(move || {
                    // What was on its way under the old decision is through now.
                    bpf::quiesce();
                    drop(reply.send(decided));
                });
            }
            Request::Events(wanted, reply) => {
                drop(reply.send(caller.map(|caller| self.events.find(&wanted, &caller.rights))));
            }
            Request::Follow(reply) => {
                drop(reply.send(caller.and_then(|caller| self.follow(&caller))));
            }
            Request::Plan(configuration, reply) => {
                drop(reply.send(administrator(caller).and_then(|()| self.plan(configuration))));
            }
            Request::Reload(reply) => {
                let result = match administrator(caller) {
                    Ok(()) => self.reload().await.map_err(Refused::from),
                    Err(refused) => Err(refused),
                };
                drop(reply.send(result));
            }
            Request::Down(reply) => {
                let pins = &self.loaded.model.gateway().pin_dir;
                let result =
                    administrator(caller).and_then(|()| Datapath::down(pins).map_err(failed));
                let stopped = result.is_ok();
                if stopped {
                    self.names.end();
                }
                drop(reply.send(result));
                return stopped;
            }
        }
        false
    }

    /// Applies the configuration on disk, and tells the log if it cannot.
    pub async fn reload(&mut self) -> Result<Difference, Error> {
        let begin = Instant::now();
        self.records.reopen();
        let result = crate::daemon::reload(self).await;
        self.publisher.progress.reloaded(result.is_ok(), begin.elapsed());
        self.publish();
        if let Err(error) = &result {
            error!("the configuration stays as it was: {}", Chain(error));
        }
        self.events.publish(reloaded(&result));
        result
    }

    fn follow(&self, caller: &Caller) -> Result<watch::Receiver<u64>, Refused> {
        // The others leave administrators some places.
        let places = if caller.administrates().is_ok() { FOLLOWERS } else { FOLLOWERS / 2 };
        if self.events.followers() >= places {
            return Err(Refused::Failed("too many follow already; try again later".into()));
        }
        Ok(self.events.follow())
    }

    /// What the rights let see of the configuration and the host, with these counts of flows.
    pub fn view<'a>(&'a self, rights: &'a Rights, flows: &'a Counts) -> status::View<'a> {
        status::View {
            model: &self.loaded.model,
            state: self.store.state(),
            rights,
            facts: self.host.facts(),
            inputs: &self.inputs,
            now: Timestamp::now(),
            attached: &self.attached,
            flows,
        }
    }

    fn counts(&self) -> Counts {
        let targets = flows::by_target(self.datapath.reader().flows());
        Counts { targets, ..self.endpoint_counts() }
    }

    /// Without a look at each flow, so that targets have none.
    fn endpoint_counts(&self) -> Counts {
        let endpoints = self.loaded.model.endpoints().values();
        let ids = &self.store.state().ids;
        let indices: Vec<u32> = endpoints.filter_map(|endpoint| ids.endpoint(endpoint)).collect();
        let flows = self.datapath.reader().active_flows(&indices);
        Counts { endpoints: indices.into_iter().zip(flows).collect(), ..Counts::default() }
    }

    fn names(&self, rights: &Rights, network: &str) -> Result<types::NetworkNames, Refused> {
        let found = self.loaded.model.networks().get(network);
        let Some(found) = found.filter(|network| rights.see_network(network)) else {
            let error = format!("there is no network `{network}`; see `privatelink networks`");
            return Err(Refused::Unknown(error));
        };
        let wanted = self.names.wanted();
        let Some(names) = wanted.names.get(network) else {
            let error = "is not served names: write `dns = true` in its table, and reload";
            return Err(Refused::Failed(format!("network {network} {error}")));
        };
        let link = self.host.facts().stack(&found.attachment);
        let own = link.into_iter().flat_map(|link| self.host.facts().own_addresses(link.index));
        let own: Vec<_> = own.filter(|address| !is_link_local(*address)).collect();
        Ok(dns::told(network, names, &own))
    }

    fn status(&self, caller: &Caller) -> Result<types::Status, Refused> {
        let gateway = self.loaded.model.gateway();
        let counts = self.counts();
        let view = self.view(&caller.rights, &counts);
        let all = caller.administrates().is_ok();
        let reader = self.datapath.reader();
        let drops = if all { reader.drops().map_err(failed)? } else { Vec::new() };
        let active = reader.flow_count().map_err(failed)?;
        let capacity = gateway.max_flows.get().into();
        let recent_drops =
            if all { self.publisher.recent.told(Instant::now(), &drops) } else { Vec::new() };
        let mut waiting = self.connections(caller);
        waiting.retain(|connection| connection.state == Acceptance::Pending.word());
        Ok(types::Status {
            gateway: gateway.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: self.is_ready(),
            uptime_seconds: self.started.elapsed().as_secs(),
            networks: view.networks(),
            services: view.services(),
            endpoints: self.endpoints(&caller.rights, &counts)?,
            flows: types::FlowTable { active, capacity },
            waiting,
            // These tell of everybody's things.
            flow_log: if all { self.records.told() } else { None },
            subscribers: if all { self.events.subscribers() } else { Vec::new() },
            recent_drops,
            drops: status::drops(drops),
            problems: if all {
                let ports = self.publisher.source.source_ports();
                let shortages = shortages(Usage { used: active, of: capacity }, &ports);
                [self.problems.as_slice(), &self.names.problems(), &shortages].concat()
            } else {
                Vec::new()
            },
        })
    }

    fn endpoints(&self, rights: &Rights, counts: &Counts) -> Result<Vec<types::Endpoint>, Refused> {
        let view = self.view(rights, counts);
        let ids = &self.store.state().ids;
        let indices: Vec<u32> =
            view.seen_endpoints().filter_map(|endpoint| ids.endpoint(endpoint)).collect();
        let counters = self.datapath.reader().counters(&indices).map_err(failed)?;
        let counters: BTreeMap<u32, EndpointCounters> = indices.into_iter().zip(counters).collect();
        let drops = self.datapath.reader().endpoint_drops().map_err(failed)?;
        let counted = |index| {
            let dropped = drops.get(&index).map_or(0, |reasons| reasons.values().sum());
            (counters.get(&index).copied().unwrap_or_default(), dropped)
        };
        Ok(view.endpoints(counted))
    }

    fn flows(&self, query: &FlowQuery, filter: Filter) -> Result<Flows, Refused> {
        let endpoints = self.loaded.model.endpoints();
        if let Some(name) = &query.endpoint
            && !endpoints.contains_key(name.as_str())
        {
            let error = format!("there is no endpoint `{name}`; see `privatelink endpoints`");
            return Err(Refused::Unknown(error));
        }
        let wanted = endpoints.values().filter(|endpoint| {
            query.endpoint.as_ref().is_none_or(|name| endpoint.name.as_str() == name)
        });
        let ids = &self.store.state().ids;
        let named = wanted.filter_map(|one| Some((ids.endpoint(one)?, one.name.to_string())));
        let names = named.collect();
        let parts = FlowRecords::of(self.tables()?);
        let limit = query.limit.unwrap_or(FlowQuery::DEFAULT_LIMIT).into();
        let now = self.datapath.now_ticks().map_err(failed)?;
        let listing = Listing { parts, names, filter, limit, now };
        Ok(Flows { listing, reader: Arc::clone(self.datapath.reader()) })
    }

    /// What a search for somebody behind a source address needs.
    fn whois(&self, asked: Asked, rights: Rights) -> Result<(Search, Arc<Reader>), Refused> {
        let log = match self.loaded.model.gateway().flow_log.as_ref() {
            _ if asked.when == When::Now => Vec::new(),
            Some(FlowLog {
                to: Destination::File(path),
                format: LogFormat::Json,
                rotate_count,
                ..
            }) => Search::files(path, rotate_count.get()),
            Some(_) | None => {
                let error = "only a flow log in a file, in the format \"json\", tells of the past";
                return Err(Refused::Failed(error.into()));
            }
        };
        let ticks = self.datapath.now_ticks().map_err(failed)?;
        let clock = Clock { ticks, now: Timestamp::now() };
        let (parts, names) = (FlowRecords::of(self.tables()?), Arc::clone(self.records.names()));
        let search = Search { asked, rights, parts, names, clock, log };
        Ok((search, Arc::clone(self.datapath.reader())))
    }

    fn tables(&self) -> Result<&Tables, Refused> {
        let busy = || Refused::Failed("the maps are being written; ask again".into());
        self.actual.as_ref().ok_or_else(busy)
    }

    fn plan(&self, configuration: Configuration) -> Result<Difference, Refused> {
        let next = match configuration.files {
            None => self.read(),
            Some(files) => {
                let files = files.into_iter().map(|file| (file.path.into(), file.text));
                let loaded = config::from_texts(files).map_err(Error::from);
                loaded.and_then(|loaded| self.prepare(loaded))
            }
        };
        Ok(self.compare(&next?))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if let Error::Config(diagnostics) = &error { diagnostics.into() } else { failed(error) }
    }
}

impl From<&Diagnostics> for Refused {
    fn from(diagnostics: &Diagnostics) -> Self {
        Self::Faulty(Problem { error: diagnostics.render(false), faults: diagnostics.to_json() })
    }
}

/// What a reload came to, as an event.
fn reloaded(result: &Result<Difference, Error>) -> Event {
    match result {
        Ok(difference) => {
            let count =
                |action| difference.changes.iter().filter(|one| one.action == action).count();
            let text = format!(
                "the configuration was applied: {} added, {} changed, {} removed; {} live flows \
                 were cut",
                count(types::Action::Added),
                count(types::Action::Changed),
                count(types::Action::Removed),
                difference.flows_cut
            );
            Event::new(Kind::ConfigurationApplied, text)
        }
        Err(error) => {
            let error = Chain(error).to_string();
            let first = error.lines().next().unwrap_or_default().trim_end_matches(':');
            let text = format!("the configuration was not applied: {first}");
            Event::new(Kind::ConfigurationRefused, text)
        }
    }
}

/// Refuses everybody else.
fn administrator(caller: Result<Caller, Refused>) -> Result<(), Refused> {
    Ok(caller?.administrates()?)
}

fn failed(error: impl std::error::Error) -> Refused {
    Refused::Failed(Chain(&error).to_string())
}
