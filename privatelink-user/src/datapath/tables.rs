//! The content of the BPF maps as plain ordered data.
//!
//! What the configuration asks for ([`desired`](crate::desired)) and what the kernel holds
//! ([`store`](crate::datapath::store)) are both a [`MapTables`]; the plan is the difference between
//! two.

use std::collections::BTreeMap;

/// The list of the maps that the daemon writes. Everything that treats each of them is generated
/// from it, so a new map is one more entry here.
///
/// An entry reads `Variant field: Kind<..> = NAME;` with
///
/// - the variant of [`Op`](crate::datapath::op::Op) that writes one entry of the map,
/// - the field of [`MapTables`],
/// - the kind of the map and its types: `Array<V>` by index, `Hash<K, V>` by key, `Prefixes<V>` by
///   the longest prefix of a network's address, or `Devices`, a set of interface indices,
/// - the constant in [`privatelink_common::maps`] with the name of the map.
///
/// The order is that in which a plan puts entries: an entry refers only to maps above its own.
///
/// `for_each_map!(callback)` passes the list to the macro `callback`. What `Array`, `Hash`,
/// `Prefixes` and `Devices` are is up to the file that expands it: plain maps here, changes in `op.rs`, open maps
/// of the kernel in `bpf/store.rs`.
macro_rules! for_each_map {
    ($callback:ident) => {
        $callback! {
            /// Interfaces to redirect to.
            Device devices: Devices = DEVICES;
            /// Source addresses by index.
            Source sources: Array<privatelink_common::Source> = SOURCES;
            /// Targets by index.
            Target targets: Array<privatelink_common::Target> = TARGETS;
            /// Services by index.
            Service services: Array<privatelink_common::Service> = SERVICES;
            /// Target indices; the pools of listeners are ranges of this table.
            Backend backends: Array<u32> = BACKENDS;
            /// Listener ports.
            Listener listeners:
                Hash<privatelink_common::ListenerKey, privatelink_common::Listener> = LISTENERS;
            /// Security rules, as the nodes of each set's search tree.
            Rule rules: Hash<privatelink_common::RuleKey, privatelink_common::RuleNode> = RULES;
            /// Limits of endpoints, by index of the endpoint.
            Limits limits: Array<privatelink_common::Limits> = LIMITS;
            /// Shares of endpoints, by index of the endpoint.
            Share shares: Array<privatelink_common::Share> = SHARES;
            /// Endpoints by index.
            Endpoint endpoints: Array<privatelink_common::Endpoint> = ENDPOINTS;
            /// The gateway's own addresses.
            Local locals: Hash<privatelink_common::LocalKey, privatelink_common::Local> = LOCALS;
            /// Which addresses a network's hosts have.
            Sender senders: Prefixes<u32> = SENDERS;
            /// What reaches the host's stack, by network index.
            Network networks: Hash<u32, u32> = NETWORKS;
            /// Network index by VLAN.
            Tagged tagged: Hash<privatelink_common::TagKey, u32> = TAGGED;
            /// Network index + 1 by interface index.
            Attachment attachments: Array<u32> = ATTACHMENTS;
        }
    };
}
pub(crate) use for_each_map;

/// What decides whether a value of a map is an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every index has a value, so the kernel cannot tell a zero from no entry.
    Array,
    /// A key is there or not, whatever its value is.
    Hash,
    /// As a hash.
    Prefixes,
    /// As a hash: the interface index is there or not.
    Devices,
}

impl Kind {
    /// Whether a value is the same as no entry.
    pub(super) fn is_absent<V: Default + PartialEq>(self, value: &V) -> bool {
        self == Self::Array && *value == V::default()
    }
}

type Array<V> = BTreeMap<u32, V>;
type Hash<K, V> = BTreeMap<K, V>;
type Prefixes<V> = BTreeMap<privatelink_common::SenderKey, V>;
type Devices = BTreeMap<u32, ()>;

macro_rules! define_tables {
    ($($(#[$doc:meta])* $variant:ident $field:ident: $kind:ident $(<$($of:ty),+>)? = $name:ident;)+) => {
        /// Every entry of every map that the daemon writes. Absent indices are zero in the kernel.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct MapTables {
            $($(#[$doc])* pub $field: $kind $(<$($of),+>)?,)+
        }

        impl MapTables {
            /// Takes in these entries, in the place of those with the same keys.
            pub fn extend(&mut self, other: Self) {
                $(self.$field.extend(other.$field);)+
            }
        }
    };
}
for_each_map!(define_tables);
