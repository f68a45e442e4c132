//! The validated configuration: what an operator asked for, free of contradictions.
//!
//! A [`Model`] comes out of [`crate::config`] and nowhere else. Whoever holds one may rely on
//! every rule of `docs/configuration.md`: names resolve, addresses do not collide, numbers are
//! within their bounds. The parts are plain data that can be read but not built outside this
//! crate, and they know nothing about files: where a value was written is the business of
//! [`crate::config::Sources`].

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
mod port;
mod service;
mod webhook;

use std::collections::BTreeMap;

pub use dns::{DnsPattern, DnsTtl, DnsUnhealthy, seconds};
pub use endpoint::{AddressPair, Endpoint, EndpointAddresses, Limits, SecurityRule};
pub use flow_log::{Destination, FlowLog, LogField, LogFiles, LogFormat, LogInterval};
pub use gateway::{Gateway, MaxFlows};
pub use health_check::{
    HealthCheck, Probe, ProbeInterval, ProbeTimeout, StatusCodes, Threshold, Tls,
};
pub use invalid::Invalid;
pub use name::{DnsName, Interface, Name};
pub use network::{Attachment, Network, Principal, VlanId};
pub use number::{Number, Period, Quantity};
pub use port::{Port, PortRange, Protocol};
pub use service::{
    AcceptancePolicy, Drain, IdleTimeout, Listener, OnDisallow, OnPending, OnReject, OnUnhealthy,
    Principals, RejectDrain, RequestExpiry, Service, Stickiness, Target, TargetAddress, Weight,
};
pub use webhook::{Subscriptions, WebhookUrl};

/// The most source addresses that one service may have.
pub const MAX_SOURCE_ADDRESSES: usize = 4096;

/// One gateway's whole configuration, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    gateway: Gateway,
    principals: BTreeMap<Name, Principal>,
    networks: BTreeMap<Name, Network>,
    services: BTreeMap<Name, Service>,
    endpoints: BTreeMap<Name, Endpoint>,
}

impl Model {
    /// Joins parts that [`crate::config`] has checked against each other.
    pub(crate) fn from_checked(
        gateway: Gateway,
        principals: BTreeMap<Name, Principal>,
        networks: BTreeMap<Name, Network>,
        services: BTreeMap<Name, Service>,
        endpoints: BTreeMap<Name, Endpoint>,
    ) -> Self {
        Self { gateway, principals, networks, services, endpoints }
    }

    /// The gateway's own settings.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The principals that unix users act for. Others exist by being named elsewhere.
    pub fn principals(&self) -> &BTreeMap<Name, Principal> {
        &self.principals
    }

    /// The networks that the gateway is attached to.
    pub fn networks(&self) -> &BTreeMap<Name, Network> {
        &self.networks
    }

    /// The services that providers publish.
    pub fn services(&self) -> &BTreeMap<Name, Service> {
        &self.services
    }

    /// The endpoints through which consumers reach services.
    pub fn endpoints(&self) -> &BTreeMap<Name, Endpoint> {
        &self.endpoints
    }
}
