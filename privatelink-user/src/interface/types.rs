//! The types of the API. Fields may be added; those that are here keep their meaning.
//!
//! The comments are the descriptions in the OpenAPI document.

mod audit;
mod catalogue;
mod connection;
mod difference;
mod event;
mod fleet;
mod flow;
mod key;
mod names;
mod object;
mod principal;
mod site;
mod test;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use audit::{AuditCheck, AuditEntry, AuditQuery};
pub use catalogue::{CatalogueConnection, CatalogueEntry};
pub use connection::{Connection, Grant, Reasoned, Step};
pub use difference::{Action, Change, Configuration, Difference, SourceText};
pub use event::{About, Event, EventQuery, LeftOut, Subscriber};
pub use fleet::{Fleet, FleetGateway};
pub use flow::{Flow, FlowQuery, Whois, WhoisQuery};
pub use key::{AccessKey, MadeKey, NewKey};
pub use names::{NamesRecord, NamesZone, NetworkNames};
pub use object::{
    Keys, ObjectSet, PageQuery, ReloadQuery, WriteHead, WriteQuery, Written, WrittenObject,
};

pub use principal::{Owned, PrincipalQuota, PrincipalUse};
pub use site::{Backbone, RotateSiteKey, Site, SiteKeyRotation, SiteService};
pub use test::{EndpointTest, TestQuery, TestStep, TestWalk};

/// The gateway and what it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The name of the gateway, which is the name of the zone.
    pub gateway: String,
    /// The release of the daemon.
    pub version: String,
    /// Whether packets can flow.
    pub ready: bool,
    /// What the gateway waits for before it is ready, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// How long the daemon has been running.
    pub uptime_seconds: u64,
    /// The networks, by name.
    pub networks: Vec<Network>,
    /// The services, by name.
    pub services: Vec<Service>,
    /// The endpoints, by name.
    pub endpoints: Vec<Endpoint>,
    /// How full the flow table is.
    pub flows: FlowTable,
    /// Packets not forwarded since the maps were made, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What the flow log has written; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_log: Option<FlowLog>,
    /// The programs and hosts that events are delivered to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribers: Vec<Subscriber>,
    /// The principals that have caused more than their budgets allow, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Packets not forwarded in the last minutes, by reason, the most first.
    #[serde(default)]
    pub recent_drops: Vec<RecentDrops>,
    /// How much each principal has, and may have.
    #[serde(default)]
    pub principals: Vec<PrincipalUse>,
    /// The connections that wait for a decision of their provider.
    #[serde(default)]
    pub waiting: Vec<Connection>,
    /// The group of gateways that this one belongs to; absent if it shares its state with none, or
    /// if the caller does not administer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    /// What does not work, each with what to do about it, for people.
    pub problems: Vec<String>,
    /// Whether the caller sees only what is its own: drops and problems of the gateway are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// What the end of forwarding has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// The directory of what was pinned.
    pub pin_dir: String,
    /// The interfaces that packets are forwarded on no more.
    pub interfaces: Vec<String>,
    /// The live flows that ended; absent if another release made the flow table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
}

/// Packets not forwarded in the last minutes, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecentDrops {
    /// The name of the drop reason.
    pub reason: String,
    /// The number of packets.
    pub packets: u64,
    /// The period in which they were counted: five minutes, or less if the daemon was started later.
    pub seconds: u64,
    /// What the reason means.
    pub meaning: String,
    /// What to do about it.
    pub advice: String,
}

/// A network and its attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// The name of the network.
    pub name: String,
    /// The interface that it is attached by.
    pub interface: String,
    /// Index of the interface; absent while the host has none of that name.
    pub ifindex: Option<u32>,
    /// Where packets are carried: `native`, by XDP in the driver; `generic`, by XDP in the network
    /// stack; or `tc`, by tc in the network stack. Absent while nothing is forwarded.
    pub xdp_mode: Option<String>,
    /// Why there; absent while nothing is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_reason: Option<String>,
    /// The largest IP packet that the interface carries.
    pub mtu: Option<u32>,
    /// The principal that owns the network.
    pub principal: String,
    /// The address ranges of the network.
    pub subnets: Vec<String>,
    /// The Ethernet address of the interface; absent while the host has none of that name.
    pub mac: Option<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// The name of the service.
    pub name: String,
    /// The principal that provides it.
    pub principal: String,
    /// The provider's network.
    pub network: String,
    /// The protocols and ports on which it is offered, as `tcp/80`.
    pub listeners: Vec<String>,
    /// The backends, once for each range of ports.
    pub targets: Vec<Target>,
    /// Who decides about a new connection: `manual` or `automatic`.
    pub acceptance: String,
    /// The principals that may connect; `*` stands for all.
    pub allow: Vec<String>,
    /// Those of them that are accepted without a decision.
    pub accept: Vec<String>,
    /// The addresses from which the gateway connects to the targets.
    pub source_addresses: Vec<String>,
    /// The names of the endpoints that lead to it and that the caller may see.
    pub endpoints: Vec<String>,
    /// Live flows through these endpoints.
    pub active_flows: u64,
    /// What it is; absent if nobody has written that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words of its provider's, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared: file and line, or `api`.
    #[serde(default)]
    pub source: String,
    /// What the API has written: the keys of its table; absent in lists, and if a file declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub definition: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A backend of a service, behind one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// The service that it belongs to.
    pub service: String,
    /// The address of the target.
    pub address: String,
    /// The port on which it serves the listener; of a range, the first.
    pub port: u16,
    /// All of these ports, as `8080` or `9092-9099`.
    pub ports: String,
    /// Its share of new flows.
    pub weight: u32,
    /// `initial`, before the first check has ended; `healthy`; `unhealthy`; `unreachable`, while its
    /// next hop does not answer; `draining`, while it gets
    /// no new flows and its live flows may end by themselves; `unused`, once it has drained.
    pub health: String,
    /// Why its health is what it is, for people.
    pub reason: String,
    /// Since when, in RFC 3339; absent where that is not known.
    pub since: Option<String>,
    /// When the flows that are left are ended, in RFC 3339; absent unless it drains.
    pub until: Option<String>,
    /// Live flows to it on these ports.
    pub active_flows: u64,
    /// The next hop to it; absent if it is in no subnet and the network has no `gateway`.
    pub next_hop: Option<String>,
    /// The Ethernet address of the next hop; absent while that does not answer.
    pub mac: Option<String>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// The name of the endpoint.
    pub name: String,
    /// The service that it leads to.
    pub service: String,
    /// The consumer's network.
    pub network: String,
    /// The addresses of the endpoint in that network.
    pub addresses: Vec<String>,
    /// The state of its connection: `available`, `pending-acceptance`, `rejected` or `expired`.
    pub state: String,
    /// The names that resolve to it in the consumer's network.
    pub dns_names: Vec<String>,
    /// Live flows through it.
    pub active_flows: u64,
    /// Flows that it may count on when the flow table is short of room.
    pub flow_share: u64,
    /// Live flows beyond that: flows of endpoints within their shares displace them.
    pub borrowed_flows: u64,
    /// Source ports that it has now, those of one block together.
    pub source_ports: u64,
    /// Source ports that it may count on when they are short.
    pub source_port_share: u64,
    /// Source ports beyond that: they come back to the endpoints whose share they are.
    pub borrowed_source_ports: u64,
    /// Flows opened through it since the maps were made.
    pub new_flows: u64,
    /// Packets forwarded from consumers.
    pub packets_in: u64,
    /// The bytes of these, from the IP header on.
    pub bytes_in: u64,
    /// Packets forwarded to consumers.
    pub packets_out: u64,
    /// The bytes of these, from the IP header on.
    pub bytes_out: u64,
    /// Packets not forwarded whose endpoint it is.
    pub drops: u64,
    /// The principal that consumes the service.
    pub principal: String,
    /// The ports on which the service is offered, as `tcp/80`.
    pub listeners: Vec<String>,
    /// What it is for; absent if nobody has written that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words of its consumer's, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared: file and line, or `api`.
    #[serde(default)]
    pub source: String,
    /// What the API has written: the keys of its table; absent in lists, and if a file declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub definition: Option<serde_json::Map<String, serde_json::Value>>,
}

/// How full the flow table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowTable {
    /// Flows that are in the table.
    pub active: u64,
    /// Flows that the table has room for.
    pub capacity: u64,
}

/// What became of flow-log records since the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowLog {
    /// Where records are written.
    pub to: String,
    /// Records written.
    pub written: u64,
    /// Records lost, because writing was too slow or failed, or because the kernel did not report them.
    pub lost: u64,
}

/// Why a request was not fulfilled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The error message, for people.
    pub error: String,
    /// Each fault of a configuration that was refused, as `privatelink check --json` shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub faults: Vec<serde_json::Value>,
}

/// A query for targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TargetQuery {
    /// Only those of this service.
    pub service: Option<String>,
    /// Only those that follow this place, which a header `Link` names.
    pub after: Option<String>,
    /// At most so many; a header `Link` leads to the next ones.
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
}
