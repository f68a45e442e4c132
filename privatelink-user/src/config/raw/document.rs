//! One file.

use super::{
    backbone::{Backbone, Site},
    endpoint::Endpoint,
    gateway::{Api, Gateway, Store},
    network::{Network, Principal},
    service::Service,
};
use crate::config::{
    decode::{Decode, List},
    diagnostic::Report,
    section::{self, Absence, Key, Section, SectionReader, section},
    source::Located,
    toml_value::TomlValue,
};
use crate::model::Name;

section! {
    /// One file.
    Document "the file" {
        /// The principal that this file speaks for: everything in it must be that principal's. The
        /// operator can say so with `files` in `[[principal]]` instead, where a writer of this file
        /// cannot remove it.
        authority: Name = optional "everyone",
        /// The gateway's own settings; one of the files has them.
        gateway: Gateway = optional "another file has it",
        /// HTTPS for callers on other hosts.
        api: Api = optional "none: only the control socket",
        /// The [store](fleet.md) that several gateways share.
        store: Store = optional "none: the state is this gateway's alone",
        /// This host's part of the backbone: see [backbone](backbone.md).
        backbone: Backbone = optional "none: no other sites",
        /// Other sites.
        site: List<Site> = optional "none",
        /// Which unix users act for a principal.
        principal: List<Principal> = optional "none",
        /// The segments that the gateway is attached to.
        network: List<Network> = optional "none",
        /// What providers publish.
        service: List<Service> = optional "none",
        /// Consumers' private ways to services.
        endpoint: List<Endpoint> = optional "none",
    }
}
