//! What a running gateway tells those who ask.

use std::collections::BTreeMap;

use privatelink_common::EndpointCounters;

use super::{Chain, Error, running::Running};
use crate::{
    api::{
        request::{Flows, Refused, Request},
        types::{self, Configuration, Difference, FlowQuery, Problem},
    },
    bpf::Datapath,
    config::{self, Diagnostics},
    flows::{self, Counts},
    status,
};

impl Running {
    /// Answers a request that changes nothing but the kernel. `true` if forwarding was stopped.
    pub fn answer(&self, request: Request) -> bool {
        // Whoever asked may have gone: then nobody misses the answer.
        match request {
            Request::Status(reply) => drop(reply.send(self.status())),
            Request::Networks(reply) => {
                drop(reply.send(Ok(self.view(&Counts::default()).networks())));
            }
            Request::Services(reply) => drop(reply.send(Ok(self.view(&self.counts()).services()))),
            Request::Endpoints(reply) => drop(reply.send(self.endpoints(&self.counts()))),
            Request::Targets(reply) => drop(reply.send(Ok(self.targets()))),
            Request::Flows(query, reply) => drop(reply.send(self.flows(&query))),
            Request::Plan(configuration, reply) => drop(reply.send(self.plan(configuration))),
            // Only the loop can bring the maps after it.
            Request::Reload(_) => {}
            Request::Down(reply) => {
                let pins = &self.loaded.model.gateway().pin_dir;
                let result = Datapath::down(pins).map_err(failed);
                let stopped = result.is_ok();
                drop(reply.send(result));
                return stopped;
            }
        }
        false
    }

    /// The configuration and the host, with these counts of flows.
    pub fn view<'a>(&'a self, flows: &'a Counts) -> status::View<'a> {
        status::View {
            model: &self.loaded.model,
            state: self.store.state(),
            facts: self.host.facts(),
            attached: &self.attached,
            flows,
        }
    }

    fn counts(&self) -> Counts {
        flows::count(self.datapath.flows())
    }

    fn status(&self) -> Result<types::Status, Refused> {
        let gateway = self.loaded.model.gateway();
        let counts = self.counts();
        let view = self.view(&counts);
        Ok(types::Status {
            gateway: gateway.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: self.is_ready(),
            uptime_seconds: self.started.elapsed().as_secs(),
            networks: view.networks(),
            services: view.services(),
            endpoints: self.endpoints(&counts)?,
            flows: types::FlowTable {
                active: self.datapath.flow_count().map_err(failed)?,
                capacity: gateway.max_flows.get().into(),
            },
            drops: status::drops(self.datapath.drops().map_err(failed)?),
            problems: self.problems.clone(),
        })
    }

    fn endpoints(&self, counts: &Counts) -> Result<Vec<types::Endpoint>, Refused> {
        let endpoints = self.loaded.model.endpoints().values();
        let indices: Vec<u32> =
            endpoints.filter_map(|endpoint| self.store.state().ids.endpoint(endpoint)).collect();
        let counters = self.datapath.counters(&indices).map_err(failed)?;
        let counters: BTreeMap<u32, EndpointCounters> = indices.into_iter().zip(counters).collect();
        let counted = |index| counters.get(&index).copied().unwrap_or_default();
        Ok(self.view(counts).endpoints(counted))
    }

    fn targets(&self) -> Vec<types::Target> {
        let counts = self.counts();
        let view = self.view(&counts);
        self.loaded.model.services().values().flat_map(|service| view.targets(service)).collect()
    }

    fn flows(&self, query: &FlowQuery) -> Result<Flows, Refused> {
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
        let names: BTreeMap<u32, &str> = wanted
            .filter_map(|endpoint| {
                Some((self.store.state().ids.endpoint(endpoint)?, endpoint.name.as_str()))
            })
            .collect();
        let busy = || Refused::Failed("the maps are being written; ask again".into());
        let tables = self.actual.as_ref().ok_or_else(busy)?;
        let name = |index| names.get(&index).map(ToString::to_string);
        let limit = query.limit.unwrap_or(FlowQuery::DEFAULT_LIMIT).min(FlowQuery::MAX_LIMIT);
        let now = self.datapath.now_ticks().map_err(failed)?;
        Ok(flows::join(|| self.datapath.flows(), limit as usize, tables, now, name))
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

fn failed(error: impl std::error::Error) -> Refused {
    Refused::Failed(Chain(&error).to_string())
}
