//! One write to one map.

use std::fmt;

use privatelink_common::{
    Endpoint, Limits, Listener, ListenerKey, Local, LocalKey, Rule, RuleKey, Service, Source,
    TagKey, Target, maps,
};

/// What happens to one entry of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// The entry gets this value, in place if it exists.
    Put(K, V),
    /// The entry goes; an array's becomes zero.
    Remove(K),
}

/// One write to one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An interface to redirect to.
    Device(Change<u32, ()>),
    /// A source address.
    Source(Change<u32, Source>),
    /// A target.
    Target(Change<u32, Target>),
    /// A service.
    Service(Change<u32, Service>),
    /// An entry of the backend table.
    Backend(Change<u32, u32>),
    /// A listener port.
    Listener(Change<ListenerKey, Listener>),
    /// A security rule.
    Rule(Change<RuleKey, Rule>),
    /// What an endpoint may take.
    Limits(Change<u32, Limits>),
    /// An endpoint.
    Endpoint(Change<u32, Endpoint>),
    /// One of the gateway's own addresses.
    Local(Change<LocalKey, Local>),
    /// An interface that a network is attached to.
    Attachment(Change<u32, u32>),
    /// A VLAN that a network is attached to.
    Tagged(Change<TagKey, u32>),
}

impl Op {
    /// Name of the map that is written.
    pub const fn map(&self) -> &'static str {
        match self {
            Self::Device(_) => maps::DEVICES,
            Self::Source(_) => maps::SOURCES,
            Self::Target(_) => maps::TARGETS,
            Self::Service(_) => maps::SERVICES,
            Self::Backend(_) => maps::BACKENDS,
            Self::Listener(_) => maps::LISTENERS,
            Self::Rule(_) => maps::RULES,
            Self::Limits(_) => maps::LIMITS,
            Self::Endpoint(_) => maps::ENDPOINTS,
            Self::Local(_) => maps::LOCALS,
            Self::Attachment(_) => maps::ATTACHMENTS,
            Self::Tagged(_) => maps::TAGGED,
        }
    }

    /// Whether an entry is taken out.
    pub const fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::Device(Change::Remove(_))
                | Self::Source(Change::Remove(_))
                | Self::Target(Change::Remove(_))
                | Self::Service(Change::Remove(_))
                | Self::Backend(Change::Remove(_))
                | Self::Listener(Change::Remove(_))
                | Self::Rule(Change::Remove(_))
                | Self::Limits(Change::Remove(_))
                | Self::Endpoint(Change::Remove(_))
                | Self::Local(Change::Remove(_))
                | Self::Attachment(Change::Remove(_))
                | Self::Tagged(Change::Remove(_))
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_removal() { "remove" } else { "put" };
        write!(f, "{verb} ")?;
        match self {
            Self::Device(Change::Put(key, ()) | Change::Remove(key))
            | Self::Source(Change::Put(key, _) | Change::Remove(key))
            | Self::Target(Change::Put(key, _) | Change::Remove(key))
            | Self::Service(Change::Put(key, _) | Change::Remove(key))
            | Self::Backend(Change::Put(key, _) | Change::Remove(key))
            | Self::Limits(Change::Put(key, _) | Change::Remove(key))
            | Self::Endpoint(Change::Put(key, _) | Change::Remove(key))
            | Self::Attachment(Change::Put(key, _) | Change::Remove(key)) => {
                write!(f, "{}[{key}]", self.map())
            }
            Self::Listener(Change::Put(key, _) | Change::Remove(key)) => {
                let port = u16::from_be(key.port);
                write!(f, "{}[{}, {}/{port}]", self.map(), key.service, key.protocol)
            }
            Self::Rule(Change::Put(key, _) | Change::Remove(key)) => {
                let [low, high] = key.set;
                write!(f, "{}[{high:08x}{low:08x}, {}]", self.map(), key.number)
            }
            Self::Tagged(Change::Put(key, _) | Change::Remove(key)) => {
                write!(f, "{}[{}, {}]", self.map(), key.ifindex, key.vlan)
            }
            Self::Local(Change::Put(key, _) | Change::Remove(key)) => {
                write!(f, "{}[{}, {}]", self.map(), key.network, key.address.to_ip())
            }
        }
    }
}
