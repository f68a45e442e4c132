//! What a handler asks of the daemon's loop.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::{
    access::{Denied, Peer},
    datapath::bpf::Reader,
    events,
    interface::types::{
        Configuration, Connection, Difference, Endpoint, FlowQuery, Network, NetworkNames, Problem,
        Service, Status, Target,
    },
    state::connection::Decision,
    view::{
        flows::{Filter, Listing},
        whois::{Asked, Search},
    },
};

/// What somebody asks of the daemon.
#[derive(Debug)]
pub struct Question {
    /// Who asks.
    pub from: Peer,
    /// What.
    pub request: Request,
}

/// What is asked of the daemon, and where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// What is the gateway doing?
    Status(Reply<Status>),
    /// Which networks are there?
    Networks(Reply<Vec<Network>>),
    /// Which names is this network served?
    Names(String, Reply<NetworkNames>),
    /// Which services are there?
    Services(Reply<Vec<Service>>),
    /// Which endpoints are there?
    Endpoints(Reply<Vec<Endpoint>>),
    /// Which targets are there?
    Targets(Reply<Vec<Target>>),
    /// Which flows are there?
    Flows(FlowQuery, Filter, Reply<Flows>),
    /// Who stands behind a source address?
    Whois(Asked, Reply<(Search, Arc<Reader>)>),
    /// Which connections are there?
    Connections(Reply<Vec<Connection>>),
    /// How has the connection of this endpoint become what it is?
    Connection(String, Reply<Connection>),
    /// Decide about the connection of this endpoint, for this reason.
    Decide(String, Decision, String, Reply<Connection>),
    /// What has changed?
    Events(events::EventFilter, Reply<events::EventPage>),
    /// When does something change?
    Follow(Reply<watch::Receiver<u64>>),
    /// What would this configuration change?
    Plan(Configuration, Reply<Difference>),
    /// Apply the configuration on disk.
    Reload(Reply<Difference>),
    /// Stop forwarding, and end.
    Down(Reply<()>),
}

/// A list of flows that is yet to be made, and from what.
#[derive(Debug)]
pub struct Flows {
    /// The list.
    pub listing: Listing,
    /// What shows the flow table.
    pub reader: Arc<Reader>,
}

/// Where an answer goes: what was asked for, or why it cannot be had.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// Why the daemon does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Whoever asks may not.
    Forbidden(String),
    /// There is no such thing.
    Unknown(String),
    /// It cannot be done now.
    Failed(String),
    /// What was sent is not sound.
    Faulty(Problem),
}

impl From<String> for Refused {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Forbidden(denied.to_string())
    }
}
