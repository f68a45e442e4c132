//! What the daemon says at one moment.

use std::time::Instant;

use crate::{
    cli::{client, daemon::Daemon},
    interface::{
        path,
        types::{Endpoint, Flow, FlowQuery, Service},
    },
};

/// The most flows that are looked at.
const MOST_FLOWS: u32 = 2_000;

/// What is wanted of a sample beside endpoints and services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The flows that match, if any are wanted.
    pub flows: Option<FlowQuery>,
}

/// Counters at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// The endpoints that the caller may see.
    pub endpoints: Vec<Endpoint>,
    /// The services that it may see, with their targets.
    pub services: Vec<Service>,
    /// The flows that were wanted, or why there are none.
    pub flows: Option<Result<Vec<Flow>, String>>,
}

impl Sample {
    /// Asks the daemon.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn take(daemon: &Daemon, wanted: &Wanted) -> Result<Self, client::Error> {
        let endpoints = client::get(daemon, path::ENDPOINTS)?;
        let at = Instant::now();
        let services = client::get(daemon, path::SERVICES)?;
        let flows = wanted.flows.as_ref().map(|query| {
            let query = FlowQuery { limit: Some(MOST_FLOWS), ..query.clone() };
            let path = client::with_query(path::FLOWS, &query);
            // Only administrators may see flows: all else is shown even so.
            let flows = path.and_then(|path| client::flows(daemon, &path));
            flows.map(|(flows, _)| flows).map_err(|error| error.to_string())
        });
        Ok(Self { at, endpoints, services, flows })
    }
}
