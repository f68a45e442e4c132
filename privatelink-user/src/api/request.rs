//! What handlers ask of the daemon's loop, and how it answers.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::sync::{oneshot, watch};

use crate::{
    access::{Denied, Identity, Rights},
    audit::AuditReader,
    config::suggestion,
    datapath::bpf::Reader,
    events,
    interface::types::{
        AccessKey, Backbone, CatalogueEntry, Configuration, Connection, Difference, Endpoint,
        Fleet, FlowQuery, MadeKey, Network, NetworkNames, NewKey, ObjectSet, Problem, Service,
        SiteKeyRotation, Status, Stopped, Target, TestQuery, Written,
    },
    objects::{Condition, Step},
    state::{connection::Decision, keys::KeyId},
    trial::Trial,
    view::{
        flows::{Filter, Listing},
        whois::{Criteria, WhoisLookup},
    },
};

/// How many flows there are, by target index and port.
pub type TargetCounts = BTreeMap<(u32, u16), u64>;

/// A request, and who makes it.
#[derive(Debug)]
pub struct Call {
    /// Who makes it.
    pub from: Identity,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The request.
    pub request: Request,
}

/// What the daemon is asked to do, and where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// Hand out what reads the flow table, if there is one: who counts flows does so besides the
    /// daemon's loop.
    Reader(Reply<Option<Arc<Reader>>>),
    /// Describe the gateway and what it is doing.
    Status(TargetCounts, Reply<Status>),
    /// List the networks.
    Networks(Reply<Vec<Network>>),
    /// List the names that this network is served.
    Names(String, Reply<NetworkNames>),
    /// List the services.
    Services(TargetCounts, Reply<Vec<Service>>),
    /// List the services that the caller may connect to.
    Catalogue(Reply<Vec<CatalogueEntry>>),
    /// List the endpoints.
    Endpoints(Reply<Vec<Endpoint>>),
    /// Show this service, with what the API has written of it.
    Service(String, TargetCounts, Reply<Service>),
    /// Show this endpoint, with what the API has written of it.
    Endpoint(String, Reply<Endpoint>),
    /// Prepare a test of this endpoint's way.
    Test(String, TestQuery, Reply<Trial>),
    /// List what the API has made.
    Objects(Reply<ObjectSet>),
    /// Make, change or delete objects.
    Write(Write, Reply<Written>),
    /// List the targets of all services.
    Targets(TargetCounts, Reply<Vec<Target>>),
    /// Prepare a list of flows.
    Flows(FlowQuery, Filter, Reply<Flows>),
    /// Prepare a search for the client behind a source address.
    Whois(Criteria, Reply<(WhoisLookup, Arc<Reader>)>),
    /// Show the gateways that share the store.
    Fleet(Reply<Fleet>),
    /// List the connections.
    Connections(Reply<Vec<Connection>>),
    /// Show the connection of this endpoint, with its history.
    Connection(String, Reply<Connection>),
    /// Decide about the connection of this endpoint, for this reason.
    Decide(String, Decision, String, Reply<Connection>),
    /// Find events.
    Events(events::EventFilter, Reply<events::EventPage>),
    /// Hand out the number of the latest event, to be watched.
    Follow(Reply<watch::Receiver<u64>>),
    /// Write the metrics, in the format that this `Accept` header prefers.
    Metrics(String, Reply<MetricsPage>),
    /// Compare this configuration with the one in force.
    Plan(Configuration, Reply<Difference>),
    /// Apply the configuration on disk; if `true`, its files take over what they declare of the
    /// API's objects.
    Reload(bool, Reply<Difference>),
    /// Make the flow table as large as the configuration asks.
    Grow(Reply<()>),
    /// Stop forwarding, and end.
    Down(Reply<Stopped>),
    /// List the access keys.
    Keys(Reply<Vec<AccessKey>>),
    /// Make an access key.
    MakeKey(NewKey, Reply<MadeKey>),
    /// Revoke this access key.
    RevokeKey(KeyId, Reply<AccessKey>),
    /// Show this site and its links to others.
    Sites(Reply<Backbone>),
    /// Prepare this site's next key; if `true`, use it although some sites do not list it.
    RotateSiteKey(bool, Reply<SiteKeyRotation>),
    /// Hand out what reads the audit log, and the caller's rights.
    Audit(Reply<(AuditReader, Rights)>),
}

impl Request {
    /// Refuses it, whatever it is.
    pub fn refuse(self, why: Refused) {
        match self {
            Self::Reader(to) => to.send(Err(why)),
            Self::Status(_, to) => to.send(Err(why)),
            Self::Networks(to) => to.send(Err(why)),
            Self::Names(_, to) => to.send(Err(why)),
            Self::Services(_, to) => to.send(Err(why)),
            Self::Catalogue(to) => to.send(Err(why)),
            Self::Endpoints(to) => to.send(Err(why)),
            Self::Service(_, _, to) => to.send(Err(why)),
            Self::Endpoint(_, to) => to.send(Err(why)),
            Self::Test(_, _, to) => to.send(Err(why)),
            Self::Objects(to) => to.send(Err(why)),
            Self::Write(_, to) => to.send(Err(why)),
            Self::Targets(_, to) => to.send(Err(why)),
            Self::Flows(_, _, to) => to.send(Err(why)),
            Self::Whois(_, to) => to.send(Err(why)),
            Self::Fleet(to) => to.send(Err(why)),
            Self::Connections(to) => to.send(Err(why)),
            Self::Connection(_, to) | Self::Decide(_, _, _, to) => to.send(Err(why)),
            Self::Events(_, to) => to.send(Err(why)),
            Self::Follow(to) => to.send(Err(why)),
            Self::Metrics(_, to) => to.send(Err(why)),
            Self::Plan(_, to) | Self::Reload(_, to) => to.send(Err(why)),
            Self::Grow(to) => to.send(Err(why)),
            Self::Down(to) => to.send(Err(why)),
            Self::Keys(to) => to.send(Err(why)),
            Self::MakeKey(_, to) => to.send(Err(why)),
            Self::RevokeKey(_, to) => to.send(Err(why)),
            Self::Sites(to) => to.send(Err(why)),
            Self::RotateSiteKey(_, to) => to.send(Err(why)),
            Self::Audit(to) => to.send(Err(why)),
        }
    }
}

/// Changes of objects that are made together.
#[derive(Debug)]
pub struct Write {
    /// The changes.
    pub steps: Vec<Step>,
    /// What they expect.
    pub condition: Condition,
    /// The client's own name of the request, and a number that tells what it asks for.
    pub key: Option<(String, u64)>,
    /// Whether only to say what they would do.
    pub dry_run: bool,
}

/// Metrics as text.
#[derive(Debug)]
pub struct MetricsPage {
    /// The value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

/// A list of flows that is yet to be made: a thread besides the daemon's loop does.
#[derive(Debug)]
pub struct Flows {
    /// The list.
    pub listing: Listing,
    /// What reads the flow table.
    pub reader: Arc<Reader>,
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub struct Reply<T> {
    to: oneshot::Sender<Result<T, Refused>>,
    outcome: Outcome,
}

/// What has become of a request. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<OnceLock<Result<(), Refused>>>);

impl Outcome {
    /// What it is; `None` before there is an answer.
    pub fn known(&self) -> Option<&Result<(), Refused>> {
        self.0.get()
    }
}

impl<T> Reply<T> {
    /// A reply, and the end at which it arrives.
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, Refused>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { to: sender, outcome: Outcome::default() }, receiver)
    }

    /// Where it notes what becomes of the request.
    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// Notes the response, before it is sent.
    pub fn note(&self, answer: &Result<T, Refused>) {
        // Whoever notes first has said it.
        let _ = self.outcome.0.set(answer.as_ref().map(drop).map_err(Refused::clone));
    }

    /// Sends the response. A client that has gone away in the meantime is no error.
    pub fn send(self, answer: Result<T, Refused>) {
        self.note(&answer);
        drop(self.to.send(answer));
    }
}

/// Why the daemon does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller has no right to it.
    Forbidden(String),
    /// There is no object of that name.
    Unknown(String),
    /// It cannot be done now.
    Failed(String),
    /// The object is not as the request expects.
    Unexpected(String),
    /// The configuration that was sent, or is on disk, is faulty.
    Faulty(Problem),
}

impl Refused {
    /// There is no object of this kind with this name. The caller may see those that are `known`.
    pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let see = || format!("see `privatelink {kind}s`");
        let help = suggestion(name, known).unwrap_or_else(see);
        Self::Unknown(format!("there is no {kind} `{name}`; {help}"))
    }

    /// What the audit log calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forbidden(_) | Self::Unknown(_) => "refused",
            Self::Failed(_) | Self::Unexpected(_) | Self::Faulty(_) => "failed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbidden(error)
            | Self::Unknown(error)
            | Self::Failed(error)
            | Self::Unexpected(error) => error,
            Self::Faulty(problem) => problem.error.trim_end(),
        })
    }
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
