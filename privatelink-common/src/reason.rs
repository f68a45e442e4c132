//! Why a packet was not forwarded.

/// Defines the reasons once: the enum, their names, and what an operator should know.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was not forwarded; each one is a counter.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in metrics and in messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The reason of a number, if it is one.
            #[inline(always)]
            pub const fn of(number: u32) -> Option<Self> {
                match number {
                    $(number if number == Self::$variant as u32 => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// One line on what it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// The frame is shorter than its headers say, or a header contradicts itself.
    Malformed = "malformed",
    /// The IPv4 header checksum or a SYN's checksum is wrong, or UDP over IPv6 has none.
    BadChecksum = "bad_checksum",
    /// The time to live, or hop limit, has run out.
    TtlExpired = "ttl_expired",
    /// IPv4 options or IPv6 extension headers that are not followed.
    Options = "options",
    /// A fragment of another protocol than TCP and UDP.
    Fragment = "fragment",
    /// A protocol other than TCP, UDP or what the gateway answers itself.
    Protocol = "protocol",
    /// The service has no listener on this protocol and port.
    NoListener = "no_listener",
    /// A packet in the middle of a conversation that the gateway does not know.
    NoFlow = "no_flow",
    /// The connection waits for the provider's decision.
    Pending = "pending",
    /// The provider has rejected the connection.
    Rejected = "rejected",
    /// The grant of the connection has run out.
    Expired = "expired",
    /// The service has no target that can take the flow.
    NoTarget = "no_target",
    /// The next hop to the target is not resolved yet.
    NoNeighbour = "no_neighbour",
    /// The flow table has no room here.
    FlowTableFull = "flow_table_full",
    /// No free port on any source address towards this target.
    PortsExhausted = "ports_exhausted",
    /// Another CPU held this part of the flow table for too long.
    Contended = "contended",
    /// The packet is larger than the way out carries.
    TooBig = "too_big",
    /// The interface on the way out is not in the device map.
    NoDevice = "no_device",
    /// A record that the packet's flow names is missing: a bug, or a daemon in the middle of a change.
    Internal = "internal",
    /// The endpoint's security rules do not let this client reach this port.
    NotAllowed = "not_allowed",
    /// The endpoint has as many flows as it may have.
    FlowLimit = "flow_limit",
    /// The endpoint opens flows faster than it may.
    FlowRateLimit = "flow_rate_limit",
    /// The endpoint sends or gets packets faster than it may.
    PacketRateLimit = "packet_rate_limit",
    /// The endpoint sends or gets bits faster than it may.
    BitRateLimit = "bit_rate_limit",
    /// An ICMP error about a packet that is of no flow.
    IcmpUnrelated = "icmp_unrelated",
    /// A first fragment that does not hold the whole transport header.
    FragmentTiny = "fragment_tiny",
    /// A fragment that overlaps another of its datagram, or the transport header.
    FragmentOverlap = "fragment_overlap",
    /// A fragment that ends beyond the longest datagram.
    FragmentLong = "fragment_long",
    /// A fragment whose datagram has not begun here, or too long ago.
    FragmentUnknown = "fragment_unknown",
    /// A UDP packet over IPv4 has no checksum, and would have to go on as IPv6.
    NoChecksum = "no_checksum",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn a_number_beyond_the_last_is_no_reason() {
        assert_eq!(Reason::of(Reason::ALL.len() as u32), None);
        assert_eq!(Reason::of(u32::MAX), None);
    }

    #[test]
    fn each_reason_is_its_own_counter_and_has_its_own_name() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::of(*reason as u32), Some(*reason));
            assert!(!reason.meaning().is_empty());
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(Reason::ALL[..index].iter().all(|other| other.name() != reason.name()));
        }
    }
}
