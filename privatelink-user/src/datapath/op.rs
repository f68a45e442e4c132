//! One write to one map.

use std::fmt;

use privatelink_common::{ListenerKey, LocalKey, RuleKey, SenderKey, TagKey, maps};

use super::tables::for_each_map;

/// What happens to one entry of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// Writes this value, in place if the entry exists.
    Put(K, V),
    /// Removes the entry; that of an array becomes zero.
    Remove(K),
}

impl<K, V> Change<K, V> {
    const fn key(&self) -> &K {
        match self {
            Self::Put(key, _) | Self::Remove(key) => key,
        }
    }

    const fn is_removal(&self) -> bool {
        matches!(self, Self::Remove(_))
    }
}

type Array<V> = Change<u32, V>;
type Hash<K, V> = Change<K, V>;
type Prefixes<V> = Change<SenderKey, V>;
type Devices = Change<u32, ()>;

macro_rules! define_op {
    ($($(#[$doc:meta])* $variant:ident $field:ident: $kind:ident $(<$($of:ty),+>)? = $name:ident;)+) => {
        /// One write to one map.
        #[expect(
            clippy::large_enum_variant,
            reason = "a plan is short-lived, and each of its writes is in it once"
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Op {
            $($(#[$doc])* $variant($kind $(<$($of),+>)?),)+
        }

        impl Op {
            /// Name of the map that is written.
            pub const fn map(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => maps::$name,)+
                }
            }

            /// Whether an entry is removed.
            pub const fn is_removal(&self) -> bool {
                match self {
                    $(Self::$variant(change) => change.is_removal(),)+
                }
            }

            fn key(&self) -> &dyn KeyText {
                match self {
                    $(Self::$variant(change) => change.key(),)+
                }
            }
        }
    };
}
for_each_map!(define_op);

/// Logs and errors name an entry as `bpftool` users look for it: map, then key in host order.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_removal() { "remove" } else { "put" };
        write!(f, "{verb} {}[", self.map())?;
        self.key().fmt(f)?;
        f.write_str("]")
    }
}

/// How a key is written in messages.
trait KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl KeyText for u32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl KeyText for ListenerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}/{}", self.service, self.protocol, u16::from_be(self.port))
    }
}

impl KeyText for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.set;
        write!(f, "{high:08x}{low:08x}, {}", self.number)
    }
}

impl KeyText for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.ifindex, self.vlan)
    }
}

impl KeyText for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.length.saturating_sub(Self::NETWORK_BITS);
        let bits = if self.address.is_v4() { bits.saturating_sub(96) } else { bits };
        write!(f, "{}, {}/{bits}", self.network, self.address.to_ip())
    }
}

impl KeyText for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.network, self.address.to_ip())
    }
}
