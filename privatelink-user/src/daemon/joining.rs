//! From the configuration to the store: the journal alone, or the group's with the journal as its
//! local copy.

use super::error::Error;
use crate::{
    config::{Origin, Origins},
    digest::sha256,
    etcd::Client,
    host::certificates::client_config,
    model::{Gateway, Model, SharedStore},
    state::{
        AnyStore, Journal,
        group::{GroupStore, Hello, Membership},
        objects::{Kind, ObjectName},
    },
    timestamp::Timestamp,
};

/// Opens the store of a gateway.
pub(super) fn store(journal: Journal, gateway: &Gateway) -> Result<AnyStore, Error> {
    let Some(SharedStore { etcd, tls, group, name, .. }) = &gateway.store else {
        return Ok(AnyStore::Own(Box::new(journal)));
    };
    let tls = tls.as_ref().map(|tls| client_config(&tls.ca, &tls.certificate, &tls.key));
    let tls = tls.transpose().map_err(Error::StoreCertificates)?;
    let membership = Membership { group: group.clone(), name: name.clone() };
    let client = Client::new(etcd.clone(), tls);
    Ok(AnyStore::Group(Box::new(GroupStore::open(journal, client, membership)?)))
}

/// What a gateway says of itself to the others.
pub(super) fn hello(model: &Model, origins: &Origins, since: Timestamp) -> Hello {
    Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        configuration: configuration(model, origins),
        since,
    }
}

/// Tells two configurations apart.
pub(super) fn configuration(model: &Model, origins: &Origins) -> String {
    sha256(declared(model, origins).as_bytes())
}

/// What files say of what gateways have in common. Interfaces and the gateway's own settings are
/// left out: they may differ. So are the objects of the API, which are the group's anyway.
fn declared(model: &Model, origins: &Origins) -> String {
    let is_from_files = |kind, name: &crate::model::Name| {
        origins.find(&ObjectName { kind, name: name.clone() }) != Some(Origin::Api)
    };
    let mut text = String::new();
    for network in model.networks().values() {
        let common = (&network.name, &network.principal, &network.subnets, &network.gateways);
        text += &format!("{common:?}\n");
    }
    for service in model.services().values().filter(|it| is_from_files(Kind::Service, &it.name)) {
        text += &format!("{service:?}\n");
    }
    for endpoint in model.endpoints().values().filter(|it| is_from_files(Kind::Endpoint, &it.name))
    {
        text += &format!("{endpoint:?}\n");
    }
    text
}
