//! What the daemon does while its state cannot be read: it waits for the disk, and says so.
//!
//! Without the state nobody knows which connections were refused, and what the indices of pinned
//! flows mean. So nothing that is in the kernel is touched: packets are forwarded as before.

use std::{collections::BTreeMap, time::Duration};

use log::{error, info};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{error::Error, service_manager, signals::Signals, snapshot::failed, stopped::stopped};
use crate::{
    access::Register,
    api::request::{Call, Refused, Request},
    chain::Chain,
    datapath::bpf::Datapath,
    interface::types::{FlowTable, Status},
    model::Model,
    state::{self, Journal},
    timestamp::Timestamp,
};

/// The time between two attempts to read the state.
const RETRY: Duration = Duration::from_secs(1);

/// The daemon while it waits for its state.
pub(super) struct Hold<'a> {
    /// The configuration.
    pub model: &'a Model,
    /// Who may use which command.
    pub register: &'a watch::Sender<Register>,
    /// The signals.
    pub signals: &'a mut Signals,
    /// What clients ask.
    pub questions: &'a mut mpsc::Receiver<Call>,
    /// The server on the control socket.
    pub server: &'a JoinHandle<()>,
}

impl Hold<'_> {
    /// Reads the state, as soon as that is possible; `None` if the daemon is to end before.
    pub async fn read_state(mut self) -> Result<Option<Journal>, Error> {
        let directory = &self.model.gateway().state_dir;
        let started = Instant::now();
        let mut last = String::new();
        loop {
            let error = match Journal::open(directory) {
                Ok(journal) => return Ok(Some(journal)),
                Err(error @ state::Error::Read { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            let problem = format!(
                "{}: packets are forwarded as before, and decisions are refused, until it can be \
                 read; trying again every second",
                Chain(&error)
            );
            if problem != last {
                error!("{problem}");
                service_manager::status(&problem);
                service_manager::ready();
                last = problem;
            }
            service_manager::alive();
            if !self.wait(&last, started).await? {
                return Ok(None);
            }
        }
    }

    /// Answers until it is time to try again; `false` if the daemon is to end.
    async fn wait(&mut self, problem: &str, started: Instant) -> Result<bool, Error> {
        let until = Instant::now() + RETRY;
        loop {
            if self.server.is_finished() {
                return Err(Error::ServerEnded);
            }
            tokio::select! {
                _ = self.signals.terminate.recv() => return Ok(false),
                _ = self.signals.interrupt.recv() => return Ok(false),
                _ = self.signals.hangup.recv() => info!("nothing to reload: {problem}"),
                Some(call) = self.questions.recv() => {
                    if !self.answer(call, problem, started) {
                        return Ok(false);
                    }
                }
                () = sleep_until(until) => return Ok(true),
            }
        }
    }

    /// Answers a request; `false` if it makes the daemon end.
    fn answer(&self, call: Call, problem: &str, started: Instant) -> bool {
        let caller = self.register.borrow().caller(&call.from, Timestamp::now());
        let caller = caller.map_err(Refused::from);
        if let Request::Reader(to) = call.request {
            to.send(caller.map(|_| None));
        } else if let Request::Status(_, to) = call.request {
            to.send(caller.map(|caller| {
                let all = caller.administrates().is_ok();
                self.status(all.then(|| problem.to_owned()), started)
            }));
        } else if let Request::Down(to) = call.request {
            let pins = &self.model.gateway().pin_dir;
            let allowed = caller.and_then(|caller| Ok(caller.administrates()?));
            let removed = allowed.and_then(|()| Datapath::down(pins).map_err(failed));
            let stopped = removed.map(|removed| stopped(pins, removed));
            let goes_on = stopped.is_err();
            to.send(stopped);
            return goes_on;
        } else {
            let why = caller.err().unwrap_or_else(|| Refused::Failed(problem.into()));
            call.request.refuse(why);
        }
        true
    }

    fn status(&self, problem: Option<String>, started: Instant) -> Status {
        let gateway = self.model.gateway();
        Status {
            gateway: gateway.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: false,
            waits_for: problem.iter().cloned().collect(),
            uptime_seconds: started.elapsed().as_secs(),
            networks: Vec::new(),
            services: Vec::new(),
            endpoints: Vec::new(),
            flows: FlowTable { active: 0, capacity: gateway.max_flows.get().into() },
            drops: BTreeMap::new(),
            flow_log: None,
            subscribers: Vec::new(),
            left_out: Vec::new(),
            recent_drops: Vec::new(),
            principals: Vec::new(),
            waiting: Vec::new(),
            partial: problem.is_none(),
            problems: problem.into_iter().collect(),
            fleet: None,
        }
    }
}
