//! Who may see and do what: users who connect to the control socket, and holders of access keys and
//! of client certificates.
//!
//! Root, the daemon's own user and the members of one unix group administer the gateway. A
//! `[[principal]]` may name users and groups who act for it: they see what is the principal's, and
//! decide about connections to its services. A key or a certificate acts for one principal, or for
//! the administrators. All others are refused everything.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    model::{Endpoint, Model, Name, Network, Principal, Service},
    state::{
        connection::{Author, Parties},
        keys::{Holder, KeyId, Keys, PresentedKey},
    },
    timestamp::Timestamp,
};

/// The user at the other end of the socket, as the kernel and the user database say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user's number.
    pub uid: u32,
    /// The user's name, if the database has one.
    pub user: Option<String>,
    /// The groups that the user belongs to: their numbers, and names where they have some.
    pub groups: Vec<(u32, Option<String>)>,
}

/// Who makes a request: proven, but not yet anybody with rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A user at the other end of the socket.
    User(Peer),
    /// The holder of an access key.
    Key {
        /// The key.
        id: KeyId,
        /// Where the holder is.
        address: IpAddr,
    },
    /// The holder of a client certificate that an authority has signed.
    Certificate {
        /// The certificate's SHA-256.
        digest: String,
        /// For whom the authority may sign.
        holder: Holder,
        /// Where the holder is.
        address: IpAddr,
    },
}

/// Who administers besides root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Administrators {
    /// The daemon's own user.
    pub uid: u32,
    /// The group whose members administer.
    pub gid: u32,
}

/// Who has rights on the gateway. The server on the socket has a copy, so that it refuses all others
/// before it reads what they send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    administrators: Administrators,
    principals: Vec<Principal>,
    keys: Keys,
}

impl Register {
    /// Those who administer, and the users and groups of the configuration's principals; no keys.
    pub fn of(model: &Model, administrators: Administrators) -> Self {
        let principals = model.principals().values().cloned().collect();
        Self { administrators, principals, keys: Keys::new() }
    }

    /// The user of this process administers, and nobody else has rights.
    #[cfg(test)]
    pub fn of_this_user() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let administrators = Administrators { uid, gid: u32::MAX };
        Self { administrators, principals: Vec::new(), keys: Keys::new() }
    }

    /// The same administrators with the principals of another configuration.
    pub fn follow(&mut self, model: &Model) {
        let keys = std::mem::take(&mut self.keys);
        *self = Self { keys, ..Self::of(model, self.administrators) };
    }

    /// Takes these access keys, instead of those before.
    pub fn replace_keys(&mut self, keys: &Keys) {
        self.keys.clone_from(keys);
    }

    /// Who holds a key that was presented.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn holder_of(&self, key: &PresentedKey, address: IpAddr) -> Result<Identity, Denied> {
        match self.keys.get(&key.id) {
            Some(known) if known.is(key) => Ok(Identity::Key { id: key.id.clone(), address }),
            Some(_) | None => Err(Denied::WrongKey),
        }
    }

    /// Finds the rights of whoever makes a request.
    ///
    /// # Errors
    /// When there are none.
    pub fn caller(&self, who: &Identity, now: Timestamp) -> Result<Caller, Denied> {
        match who {
            Identity::User(peer) => self.user(peer),
            Identity::Key { id, .. } => {
                let key = self.keys.get(id).ok_or_else(|| Denied::Revoked { id: id.clone() })?;
                if key.has_expired(now) {
                    return Err(Denied::Expired { id: id.clone() });
                }
                let author = Author::Key { id: id.clone(), holder: key.holder.clone() };
                Ok(Caller { author, rights: Rights::of_holder(&key.holder) })
            }
            Identity::Certificate { digest, holder, .. } => {
                let (digest, holder) = (digest.clone(), holder.clone());
                let rights = Rights::of_holder(&holder);
                Ok(Caller { author: Author::Certificate { digest, holder }, rights })
            }
        }
    }

    /// Checks that the caller may write, whatever its rights are.
    ///
    /// # Errors
    /// When it holds a key that only reads.
    pub fn writes(&self, who: &Identity) -> Result<(), Denied> {
        match who {
            Identity::Key { id, .. } if self.keys.get(id).is_none_or(|key| key.read_only) => {
                Err(Denied::ReadOnly { id: id.clone() })
            }
            Identity::Key { .. } | Identity::User(_) | Identity::Certificate { .. } => Ok(()),
        }
    }

    /// Finds the rights of a user.
    ///
    /// # Errors
    /// When the user has none.
    pub fn user(&self, peer: &Peer) -> Result<Caller, Denied> {
        let author = peer.author();
        let trusted = [0, self.administrators.uid].contains(&peer.uid)
            || peer.groups.iter().any(|(gid, _)| *gid == self.administrators.gid);
        if trusted {
            return Ok(Caller { author, rights: Rights::All });
        }
        let acts_for = |users: &[String], groups: &[String]| {
            let names = peer.groups.iter().filter_map(|(_, name)| name.as_ref());
            peer.user.as_ref().is_some_and(|user| users.contains(user))
                || names.into_iter().any(|name| groups.contains(name))
        };
        let principals = self.principals.iter();
        let principals = principals.filter(|one| acts_for(&one.users, &one.groups));
        let principals: BTreeSet<Name> = principals.map(|one| one.name.clone()).collect();
        if principals.is_empty() {
            return Err(Denied::Stranger { who: author });
        }
        Ok(Caller { author, rights: Rights::Of(principals) })
    }
}

/// What a caller may see and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything: the caller administers the gateway.
    All,
    /// What belongs to one of these principals.
    Of(BTreeSet<Name>),
}

/// A user with rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user, for the record of decisions.
    pub author: Author,
    /// What the user may see and do.
    pub rights: Rights,
}

/// Why a user is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The user has no rights at all.
    #[error(
        "{who} has no rights on this gateway: only root, members of its group and users of a \
         [[principal]] do"
    )]
    Stranger {
        /// The user.
        who: Author,
    },
    /// A caller on another host has brought nothing.
    #[error(
        "bring an access key, as `Authorization: Bearer KEY`, or a client certificate of an \
         authority of this gateway"
    )]
    NoKey,
    /// A text was brought that is no key of this gateway.
    #[error("this is no access key of this gateway")]
    WrongKey,
    /// The key has been revoked.
    #[error("the access key {id} has been revoked: ask for another one")]
    Revoked {
        /// The key.
        id: KeyId,
    },
    /// The key has ended.
    #[error("the access key {id} has expired: ask for another one")]
    Expired {
        /// The key.
        id: KeyId,
    },
    /// The key only reads.
    #[error("the access key {id} may only read")]
    ReadOnly {
        /// The key.
        id: KeyId,
    },
    /// The principal is another's.
    #[error("{who} may not make or revoke keys of {holder}")]
    KeyHolder {
        /// The user.
        who: Author,
        /// Whom the key acts for.
        holder: Holder,
    },
    /// The request is for administrators.
    #[error("{who} may not do this: only root and members of the gateway's group may")]
    Administrators {
        /// The user.
        who: Author,
    },
    /// The decision is the provider's.
    #[error("{who} may not decide this: only the provider `{provider}` may")]
    Provider {
        /// The user.
        who: Author,
        /// The principal that provides the service.
        provider: Name,
    },
    /// The object would be another principal's.
    #[error("{who} does not act for the principal `{principal}`")]
    Principal {
        /// The user.
        who: Author,
        /// The principal that was written.
        principal: Name,
    },
    /// The request is the consumer's.
    #[error("{who} may not request this: only the consumer `{consumer}` may")]
    Consumer {
        /// The user.
        who: Author,
        /// The principal that owns the endpoint's network.
        consumer: Name,
    },
}

impl Peer {
    fn author(&self) -> Author {
        Author::User { uid: self.uid, name: self.user.clone() }
    }
}

impl Identity {
    /// The address that the request came from; a user of the socket has none.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::User(_) => None,
            Self::Key { address, .. } | Self::Certificate { address, .. } => Some(*address),
        }
    }
}

impl Caller {
    /// Checks that the caller administers the gateway.
    ///
    /// # Errors
    /// When it does not.
    pub fn administrates(&self) -> Result<(), Denied> {
        match self.rights {
            Rights::All => Ok(()),
            Rights::Of(_) => Err(Denied::Administrators { who: self.author.clone() }),
        }
    }

    /// Checks that the caller may decide about a connection.
    ///
    /// # Errors
    /// When it does not act for the provider.
    pub fn decides(&self, parties: &Parties) -> Result<(), Denied> {
        if self.rights.include(&parties.provider) {
            return Ok(());
        }
        let provider = parties.provider.clone();
        Err(Denied::Provider { who: self.author.clone(), provider })
    }

    /// Checks that the caller may publish for a principal, which need not exist.
    ///
    /// # Errors
    /// When it does not act for it.
    pub fn publishes_for(&self, principal: &Name) -> Result<(), Denied> {
        if self.rights.include(principal) {
            return Ok(());
        }
        let principal = principal.clone();
        Err(Denied::Principal { who: self.author.clone(), principal })
    }

    /// Checks that the caller may request a connection.
    ///
    /// # Errors
    /// When it does not act for the consumer.
    pub fn requests(&self, parties: &Parties) -> Result<(), Denied> {
        if self.rights.include(&parties.consumer) {
            return Ok(());
        }
        let consumer = parties.consumer.clone();
        Err(Denied::Consumer { who: self.author.clone(), consumer })
    }
}

impl Rights {
    /// Those that a key or a certificate gives.
    pub fn of_holder(holder: &Holder) -> Self {
        match holder {
            Holder::Administrators => Self::All,
            Holder::Principal(name) => Self::Of([name.clone()].into()),
        }
    }

    /// Whether they include all that a holder may do.
    pub fn cover(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Administrators => *self == Self::All,
            Holder::Principal(name) => self.include(name),
        }
    }

    /// Whether they include what belongs to a principal.
    pub fn include(&self, principal: &Name) -> bool {
        self.see_principal(principal.as_str())
    }

    /// Whether what a principal has caused may be seen.
    pub fn see_principal(&self, principal: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(principal),
        }
    }

    /// Whether a network may be seen.
    pub fn see_network(&self, network: &Network) -> bool {
        self.include(&network.principal)
    }

    /// Whether a service may be seen.
    pub fn see_service(&self, service: &Service) -> bool {
        self.include(&service.principal)
    }

    /// Whether a service is offered to one of the principals: they may connect to it.
    pub fn may_connect_to(&self, service: &Service) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.iter().any(|name| service.allow.contains(name)),
        }
    }

    /// Whether an endpoint may be seen, which belongs to the consumer alone.
    pub fn see_endpoint(&self, model: &Model, endpoint: &Endpoint) -> bool {
        let network = model.networks().get(&endpoint.network);
        network.is_some_and(|network| self.see_network(network))
    }

    /// Whether a connection may be seen, which belongs to both parties.
    pub fn see_connection(&self, parties: &Parties) -> bool {
        self.include(&parties.provider) || self.include(&parties.consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const ADMINISTRATORS: Administrators = Administrators { uid: 990, gid: 991 };

    fn model() -> Model {
        let text = include_str!("desired/tests.toml").to_owned()
            + "[[principal]]\nname = \"vendor\"\nusers = [\"ops\"]\ngroups = [\"payments\"]\n\
               [[principal]]\nname = \"acme\"\nusers = [\"ann\", \"ops\"]\n";
        config::from_text("t.toml", &text).unwrap_or_else(|faults| panic!("{faults}")).model
    }

    fn peer(uid: u32, user: Option<&str>, groups: &[(u32, Option<&str>)]) -> Peer {
        let groups = groups.iter().map(|(gid, name)| (*gid, name.map(ToOwned::to_owned)));
        Peer { uid, user: user.map(ToOwned::to_owned), groups: groups.collect() }
    }

    fn rights(peer: &Peer) -> Option<Rights> {
        Register::of(&model(), ADMINISTRATORS).user(peer).ok().map(|caller| caller.rights)
    }

    fn of(names: &[&str]) -> Rights {
        Rights::Of(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn rights_follow_users_and_groups() {
        for (peer, expected) in [
            (peer(0, None, &[]), Some(Rights::All)),
            (peer(990, None, &[]), Some(Rights::All)),
            (peer(5, Some("eve"), &[(5, None), (991, None)]), Some(Rights::All)),
            (peer(5, Some("ann"), &[]), Some(of(&["acme"]))),
            (peer(5, Some("ops"), &[]), Some(of(&["acme", "vendor"]))),
            (peer(5, Some("eve"), &[(7, Some("payments"))]), Some(of(&["vendor"]))),
            (peer(5, Some("eve"), &[(990, Some("eve"))]), None),
            // Names of users are not names of groups.
            (peer(5, Some("payments"), &[(7, Some("ops"))]), None),
            (peer(5, None, &[]), None),
        ] {
            assert_eq!(rights(&peer), expected, "{peer:?}");
        }
    }

    #[test]
    fn each_sees_its_own() {
        let model = model();
        let seen = |rights: &Rights| {
            let networks = model.networks().values().filter(|n| rights.see_network(n)).count();
            let services = model.services().values().filter(|s| rights.see_service(s)).count();
            let endpoints = model.endpoints().values();
            let endpoints = endpoints.filter(|e| rights.see_endpoint(&model, e));
            let endpoints: Vec<_> = endpoints.map(|e| e.name.as_str()).collect();
            (networks, services, endpoints)
        };
        assert_eq!(seen(&Rights::All), (3, 2, vec!["acme-web", "globex-mail"]));
        assert_eq!(seen(&of(&["acme"])), (1, 0, vec!["acme-web"]));
        assert_eq!(seen(&of(&["vendor"])), (1, 2, vec![]));
    }

    #[test]
    fn the_provider_decides_and_the_consumer_asks() {
        let model = model();
        let parties = Parties::of(&model, model.endpoints().values().next().unwrap()).unwrap();
        let caller = |names: &[&str]| Caller { author: Author::Rule, rights: of(names) };
        let (vendor, acme, globex) = (caller(&["vendor"]), caller(&["acme"]), caller(&["globex"]));
        assert!(vendor.decides(&parties).is_ok() && vendor.requests(&parties).is_err());
        assert!(acme.decides(&parties).is_err() && acme.requests(&parties).is_ok());
        assert!(!globex.rights.see_connection(&parties));
        assert!(vendor.rights.see_connection(&parties) && acme.rights.see_connection(&parties));
        for one in [vendor, acme, globex] {
            assert!(one.administrates().is_err());
        }
    }
}
