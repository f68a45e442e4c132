//! The configuration as it is written: every value is well-formed, nothing is compared yet.
//!
//! A key is declared in the table that it belongs to, with what it means: decoder, JSON schema and
//! the reference `docs/configuration.md` come from there.

mod backbone;
mod document;
mod endpoint;
mod gateway;
mod network;
mod service;
mod values;

pub(super) use backbone::{Backbone, Site, SiteService};
pub(super) use document::Document;
pub(super) use endpoint::{Endpoint, Limits, SecurityRule};
pub(super) use gateway::{Api, FlowLog, Gateway, Store};
pub(super) use network::{Network, Principal, Quota};
pub(super) use service::{HealthCheck, Listener, Service, Target};
pub(super) use values::{Addresses, FlowLogFormat, PrefixOrAddress, ProbeProtocol, Who};
