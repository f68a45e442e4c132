//! The validated configuration, without contradictions.
//!
//! Only `config` makes a [`Model`]. Every rule of `docs/configuration.md` holds for it: names
//! resolve, addresses do not collide, numbers are within their bounds. Its parts are plain data
//! that can be read but not built outside this crate. They do not know about files: `config`
//! keeps the locations of values.

mod backbone;
mod configuration;
mod description;
mod dns;
mod endpoint;
mod flow_log;
mod gateway;
mod health_check;
mod invalid;
mod name;
pub mod naming;
mod network;
mod number;
pub mod owned;
mod port;
pub mod quota;
mod secret;
mod service;
mod store;
mod webhook;
mod word;

pub use backbone::{
    Backbone, Keepalive, Namespace, PublicKey, Site, TRANSIT_ROUTER, Transit, WireGuard,
    offered_ports, report_address, tag,
};
pub use configuration::Model;
pub use description::{Line, Tags};
pub use dns::{DnsPattern, DnsTtl, DnsUnhealthy, seconds};
pub use endpoint::{AddressPair, Endpoint, EndpointAddresses, Limits, SecurityRule, ShareWeight};
pub use flow_log::{Destination, FlowLog, LogField, LogFiles, LogFormat, LogInterval};
pub use gateway::{Api, Gateway, LogLevel, MaxFlows};
pub use health_check::{
    HealthCheck, Probe, ProbeInterval, ProbeTimeout, StatusCodes, Threshold, Tls,
};
pub use invalid::Invalid;
pub use name::{DnsName, Interface, Name};
pub use network::{AttachMode, Attachment, HostAccess, Network, Principal, VlanId};
pub use number::{Number, Period, Quantity};
pub use port::{Port, PortRange, Protocol};
pub use quota::Quota;
pub use secret::{MASK, Secret, Url, blanked, redacted};
pub use service::{
    AcceptancePolicy, Drain, IdleTimeout, Listener, OnDisallow, OnPending, OnReject, OnUnhealthy,
    Principals, RejectDrain, RequestExpiry, Service, Stickiness, Target, TargetAddress, Weight,
};
pub use store::{SharedStore, StoreTls};
pub use webhook::{Subscriptions, WebhookUrl};
pub use word::Words;
pub(crate) use word::words;
