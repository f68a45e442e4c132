//! Which key holds what, and how a change of one reads as a change of the other.

use std::{fmt::Write as _, net::IpAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    model::Name,
    state::{
        addresses::{Addresses, Lease},
        change::Change,
        connection::Connection,
        ids::{IndexKind, IndexUse},
        keys::{Key, KeyId},
        objects::{Kind, Object, ObjectName, ReplyKey, StoredReply},
    },
};

/// Where everything of this format is.
const ROOT: &str = "/pl/v1/g";

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The format of the group's keys.
    Schema,
    /// Changes whenever the structure does.
    Structure,
    /// An object of the API.
    Object(ObjectName),
    /// An endpoint's connection.
    Connection(Name),
    /// Which endpoint has an address in a network.
    Address(Name, IpAddr),
    /// What an index is used for.
    Index(IndexKind, u32),
    /// An access key.
    Key(KeyId),
    /// The answer to a request.
    Reply(ReplyKey),
    /// A gateway that runs.
    Hello(Name),
    /// How far a gateway has come.
    Applied(Name),
}

/// The endpoint that has an address.
#[derive(Serialize, Deserialize)]
struct Holder {
    endpoint: Name,
}

/// A value that this release cannot read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{key}`")]
pub(super) struct Unreadable {
    key: String,
    #[source]
    source: serde_json::Error,
}

/// The keys of one group.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    prefix: String,
}

/// One key gets a value, or is removed.
pub(super) type KeyChange = (String, Option<Bytes>);

impl Layout {
    pub fn new(group: &Name) -> Self {
        Self { prefix: format!("{ROOT}/{group}/") }
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn key(&self, place: &Place) -> String {
        let prefix = &self.prefix;
        match place {
            Place::Schema => format!("{prefix}meta/schema"),
            Place::Structure => format!("{prefix}structure"),
            Place::Object(ObjectName { kind, name }) => {
                format!("{prefix}object/{}/{name}", kind.word())
            }
            Place::Connection(name) => format!("{prefix}connection/{name}"),
            Place::Address(network, address) => format!("{prefix}address/{network}/{address}"),
            Place::Index(kind, index) => format!("{prefix}index/{}/{index}", kind.word()),
            Place::Key(id) => format!("{prefix}key/{id}"),
            // Users and their keys are any text.
            Place::Reply(ReplyKey { user, key }) => {
                format!("{prefix}reply/{}/{}", hexadecimal(user), hexadecimal(key))
            }
            Place::Hello(gateway) => format!("{prefix}gateway/{gateway}/hello"),
            Place::Applied(gateway) => format!("{prefix}gateway/{gateway}/applied"),
        }
    }

    /// What a key is about; `None` if it is not one of this format.
    pub fn place(&self, key: &str) -> Option<Place> {
        let words: Vec<&str> = key.strip_prefix(&self.prefix)?.split('/').collect();
        Some(match *words.as_slice() {
            ["meta", "schema"] => Place::Schema,
            ["structure"] => Place::Structure,
            ["object", kind, name] => {
                let kind = Kind::ALL.into_iter().find(|known| known.word() == kind)?;
                Place::Object(ObjectName { kind, name: name.parse().ok()? })
            }
            ["connection", name] => Place::Connection(name.parse().ok()?),
            ["address", network, address] => {
                Place::Address(network.parse().ok()?, address.parse().ok()?)
            }
            ["index", kind, index] => {
                let kind = IndexKind::ALL.into_iter().find(|known| known.word() == kind)?;
                Place::Index(kind, index.parse().ok()?)
            }
            ["key", id] => Place::Key(id.parse().ok()?),
            ["reply", user, key] => Place::Reply(ReplyKey { user: text(user)?, key: text(key)? }),
            ["gateway", name, "hello"] => Place::Hello(name.parse().ok()?),
            ["gateway", name, "applied"] => Place::Applied(name.parse().ok()?),
            _ => return None,
        })
    }

    /// What a change writes to the group's keys, if it is one of the group's; `addresses` are
    /// those before it.
    pub fn written(
        &self,
        change: &Change,
        addresses: &Addresses,
    ) -> serde_json::Result<Option<Vec<KeyChange>>> {
        let one = |place: Place, value: Option<serde_json::Result<Vec<u8>>>| {
            let value = value.transpose()?.map(Bytes::from);
            Ok(Some(vec![(self.key(&place), value)]))
        };
        match change {
            Change::Object(name, object) => {
                one(Place::Object(name.clone()), object.as_ref().map(serde_json::to_vec))
            }
            Change::Connection(name, connection) => {
                one(Place::Connection(name.clone()), connection.as_ref().map(serde_json::to_vec))
            }
            Change::Key(id, key) => {
                one(Place::Key(id.clone()), key.as_ref().map(serde_json::to_vec))
            }
            Change::Reply(key, reply) => {
                one(Place::Reply(key.clone()), reply.as_ref().map(serde_json::to_vec))
            }
            Change::Index(IndexKind::Target, ..) => Ok(None),
            Change::Index(kind, index, usage) => {
                one(Place::Index(*kind, *index), Some(serde_json::to_vec(usage)))
            }
            Change::Lease(name, lease) => {
                self.moved(name, addresses.leases.get(name), lease.as_ref()).map(Some)
            }
            Change::Ids(_)
            | Change::Sources(_)
            | Change::Latest(..)
            | Change::Drain(..)
            | Change::Health(..)
            | Change::Resolved(..)
            | Change::Listed(..)
            | Change::Unpushed(..) => Ok(None),
        }
    }

    fn moved(
        &self,
        endpoint: &Name,
        old: Option<&Lease>,
        new: Option<&Lease>,
    ) -> serde_json::Result<Vec<KeyChange>> {
        let keys = |lease: Option<&Lease>| -> Vec<String> {
            let places = lease.into_iter().flat_map(|lease| {
                lease.addresses().map(|address| Place::Address(lease.network.clone(), address))
            });
            places.map(|place| self.key(&place)).collect()
        };
        let (old, new) = (keys(old), keys(new));
        let mut changes: Vec<KeyChange> =
            old.iter().filter(|key| !new.contains(key)).map(|key| (key.clone(), None)).collect();
        for key in new.into_iter().filter(|key| !old.contains(key)) {
            let holder = Holder { endpoint: endpoint.clone() };
            changes.push((key, Some(serde_json::to_vec(&holder)?.into())));
        }
        Ok(changes)
    }

    /// What a change of a key means for the state; `addresses` are those before it.
    pub fn read(
        &self,
        place: Place,
        value: Option<&[u8]>,
        addresses: &Addresses,
    ) -> Result<Vec<Change>, Unreadable> {
        let key = self.key(&place);
        Ok(match place {
            Place::Object(name) => {
                vec![Change::Object(name, parse::<Box<Object>>(key, value)?)]
            }
            Place::Connection(name) => {
                vec![Change::Connection(name, parse::<Box<Connection>>(key, value)?)]
            }
            Place::Key(id) => vec![Change::Key(id, parse::<Box<Key>>(key, value)?)],
            Place::Reply(name) => {
                vec![Change::Reply(name, parse::<Box<StoredReply>>(key, value)?)]
            }
            Place::Index(kind, index) => {
                let usage = parse::<IndexUse>(key, value)?.unwrap_or(IndexUse::Freed(None));
                vec![Change::Index(kind, index, usage)]
            }
            Place::Address(network, address) => {
                let holder = parse::<Holder>(key, value)?;
                given(&network, address, holder.map(|holder| holder.endpoint), addresses)
            }
            Place::Schema | Place::Structure | Place::Hello(_) | Place::Applied(_) => Vec::new(),
        })
    }
}

/// What follows from an address that an endpoint gets, or gives up.
fn given(
    network: &Name,
    address: IpAddr,
    endpoint: Option<Name>,
    addresses: &Addresses,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let is_it =
        |lease: &Lease| lease.network == *network && lease.addresses().any(|it| it == address);
    let before = addresses.leases.iter().find(|(_, lease)| is_it(lease));
    if let Some((name, lease)) = before.filter(|(name, _)| endpoint.as_ref() != Some(*name)) {
        let mut lease = lease.clone();
        set(&mut lease, address, false);
        let is_left = lease.addresses().next().is_some();
        changes.push(Change::Lease(name.clone(), is_left.then_some(lease)));
    }
    if let Some(endpoint) = endpoint {
        let lease = addresses.leases.get(&endpoint).filter(|lease| lease.network == *network);
        let none = || Lease { network: network.clone(), v4: None, v6: None };
        let mut lease = lease.cloned().unwrap_or_else(none);
        set(&mut lease, address, true);
        changes.push(Change::Lease(endpoint, Some(lease)));
        // The next search goes on after it, so that freed addresses are used late in the group.
        let mut latest = addresses.latest.get(network).copied().unwrap_or_default();
        latest[usize::from(address.is_ipv6())] = Some(address);
        changes.push(Change::Latest(network.clone(), Some(latest)));
    }
    changes
}

fn set(lease: &mut Lease, address: IpAddr, is_held: bool) {
    match address {
        IpAddr::V4(v4) => lease.v4 = is_held.then_some(v4),
        IpAddr::V6(v6) => lease.v6 = is_held.then_some(v6),
    }
}

fn parse<T: DeserializeOwned>(key: String, value: Option<&[u8]>) -> Result<Option<T>, Unreadable> {
    let parsed = value.map(serde_json::from_slice).transpose();
    parsed.map_err(|source| Unreadable { key, source })
}

fn hexadecimal(text: &str) -> String {
    let mut digits = String::with_capacity(2 * text.len());
    for byte in text.bytes() {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn text(digits: &str) -> Option<String> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_key_that_leads_back_to_it() {
        let layout = Layout::new(&"east".parse().unwrap());
        let name = |text: &str| text.parse::<Name>().unwrap();
        let object = ObjectName { kind: Kind::Service, name: name("web") };
        for (place, key) in [
            (Place::Schema, "meta/schema"),
            (Place::Structure, "structure"),
            (Place::Object(object), "object/service/web"),
            (Place::Connection(name("acme-web")), "connection/acme-web"),
            (Place::Address(name("acme"), [10, 0, 0, 9].into()), "address/acme/10.0.0.9"),
            (Place::Index(IndexKind::Endpoint, 7), "index/endpoint/7"),
            (Place::Key("0123456789ab".parse().unwrap()), "key/0123456789ab"),
            (Place::Reply(ReplyKey { user: "a/ä".into(), key: "".into() }), "reply/612fc3a4/"),
            (Place::Hello(name("gw-a")), "gateway/gw-a/hello"),
            (Place::Applied(name("gw-a")), "gateway/gw-a/applied"),
        ] {
            assert_eq!(layout.key(&place), format!("/pl/v1/g/east/{key}"));
            assert_eq!(layout.place(&layout.key(&place)), Some(place));
        }
        for other in ["/pl/v1/g/west/structure", "/pl/v1/g/east/seat/1", "/pl/v1/g/east/reply/6/"] {
            assert_eq!(layout.place(other), None, "{other}");
        }
    }
}
