//! What goes over the socket. Fields may be added; those that are here keep their meaning.

mod connection;
mod difference;
mod event;
mod flow;
mod names;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use connection::{Connection, Grant, Reasoned, Step};
pub use difference::{Action, Change, Configuration, Difference, SourceText};
pub use event::{About, Event, EventQuery, Subscriber};
pub use flow::{Flow, FlowQuery, Whois, WhoisQuery};
pub use names::{NamesRecord, NamesZone, NetworkNames};

/// What the gateway is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The zone's name.
    pub gateway: String,
    /// The release of the daemon.
    pub version: String,
    /// Whether packets can flow.
    pub ready: bool,
    /// How long the daemon has been running.
    pub uptime_seconds: u64,
    /// The networks, by name.
    pub networks: Vec<Network>,
    /// The services, by name.
    pub services: Vec<Service>,
    /// The endpoints, by name.
    pub endpoints: Vec<Endpoint>,
    /// The flow table.
    pub flows: FlowTable,
    /// Packets not forwarded since the maps were made, by reason.
    pub drops: BTreeMap<String, u64>,
    /// The flow log; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_log: Option<FlowLog>,
    /// Who is told of events besides those who ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribers: Vec<Subscriber>,
    /// Packets not forwarded in the last minutes, by reason, the most first.
    #[serde(default)]
    pub recent_drops: Vec<RecentDrops>,
    /// The connections that wait for their provider's decision.
    #[serde(default)]
    pub waiting: Vec<Connection>,
    /// What does not work, each with what to do about it.
    pub problems: Vec<String>,
}

/// Packets not forwarded lately for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecentDrops {
    /// The reason.
    pub reason: String,
    /// How many.
    pub packets: u64,
    /// In how many seconds: no more than five minutes, and no more than the daemon runs.
    pub seconds: u64,
    /// What the reason means.
    pub meaning: String,
    /// What to do about it.
    pub advice: String,
}

/// A network and its attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The interface that it is attached by.
    pub interface: String,
    /// Index of the interface; absent while the host has none of that name.
    pub ifindex: Option<u32>,
    /// Where packets are forwarded: `native` or `generic`; absent while they are not.
    pub xdp_mode: Option<String>,
    /// The largest IP packet that the interface carries.
    pub mtu: Option<u32>,
    /// Its owner.
    pub principal: String,
    /// Its address ranges.
    pub subnets: Vec<String>,
    /// The Ethernet address of the interface; absent while the host has none of that name.
    pub mac: Option<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub principal: String,
    /// The provider's network.
    pub network: String,
    /// Where it is offered, as `tcp/80`.
    pub listeners: Vec<String>,
    /// Its backends.
    pub targets: Vec<Target>,
    /// Who decides about a new connection: `manual` or `automatic`.
    pub acceptance: String,
    /// The principals that may connect; `*` is anybody.
    pub allow: Vec<String>,
    /// Of those, who is accepted without asking.
    pub accept: Vec<String>,
    /// From where the gateway speaks to the targets.
    pub source_addresses: Vec<String>,
    /// The endpoints that lead to it, by name.
    pub endpoints: Vec<String>,
    /// Flows to it now.
    pub active_flows: u64,
}

/// A backend of a service, behind one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Its address.
    pub address: String,
    /// The port on which it serves the listener; of a range, the first.
    pub port: u16,
    /// All of these ports, as `8080` or `9092-9099`.
    pub ports: String,
    /// Its share of new flows.
    pub weight: u32,
    /// Where it is in its life: `initial`, no check has ended yet; `healthy`; `unhealthy`;
    /// `draining`, it gets no new flows and those that it has may end by themselves; `unused`, it
    /// has drained.
    pub health: String,
    /// Why.
    pub reason: String,
    /// Since when, in RFC 3339; absent where that is not known.
    pub since: Option<String>,
    /// When its flows end that are left, in RFC 3339; absent unless it drains.
    pub until: Option<String>,
    /// Flows to it now, on these ports.
    pub active_flows: u64,
    /// To whom packets for it are handed on; absent if no network says.
    pub next_hop: Option<String>,
    /// The Ethernet address of the next hop; absent while nobody answers for it.
    pub mac: Option<String>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// The service that it leads to.
    pub service: String,
    /// The consumer's network.
    pub network: String,
    /// Its addresses there.
    pub addresses: Vec<String>,
    /// The state of its connection: `available`, `pending-acceptance`, `rejected` or `expired`.
    pub state: String,
    /// Names under which consumers find it.
    pub dns_names: Vec<String>,
    /// Flows through it now.
    pub active_flows: u64,
    /// Flows opened through it since the maps were made.
    pub new_flows: u64,
    /// Packets from consumers, forwarded.
    pub packets_in: u64,
    /// Their IP bytes.
    pub bytes_in: u64,
    /// Packets to consumers, forwarded.
    pub packets_out: u64,
    /// Their IP bytes.
    pub bytes_out: u64,
    /// Packets not forwarded.
    pub drops: u64,
    /// The consumer.
    pub principal: String,
    /// The ports on which the service is offered, as `tcp/80`.
    pub listeners: Vec<String>,
}

/// How full the flow table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowTable {
    /// Flows now.
    pub active: u64,
    /// Flows that there is room for.
    pub capacity: u64,
}

/// The records of flows since the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowLog {
    /// Where they go.
    pub to: String,
    /// How many were written.
    pub written: u64,
    /// How many were lost, since writing was too slow or failed, or since the kernel left them out.
    pub lost: u64,
}

/// Why a request was not fulfilled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The reason, for people.
    pub error: String,
    /// Each fault of a configuration that was refused, as `privatelink check --json` shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub faults: Vec<serde_json::Value>,
}

/// Which targets are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TargetQuery {
    /// Only those of this service.
    pub service: Option<String>,
}
