//! Why a packet was not forwarded.

use crate::Notice;

/// Defines the reasons once: the enum and its numbers, and everything that is known about each.
///
/// The order is that of the counters in the map: a new reason goes to the end. Its texts are shown
/// by `privatelink status` and on the page `docs/drop-reasons.md`, which is generated from them.
macro_rules! reasons {
    ($($variant:ident {
        name: $name:literal,
        notice: $notice:ident,
        meaning: $meaning:literal,
        advice: $advice:literal,
    })+) => {
        /// Why a packet was not forwarded; each one is a counter.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = concat!($meaning, ".")] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason of a number, if it is one.
            #[inline(always)]
            pub const fn of(number: u32) -> Option<Self> {
                match number {
                    $(number if number == Self::$variant as u32 => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// How the sender of the packet is notified.
            #[inline(always)]
            pub const fn notice(self) -> Notice {
                match self { $(Self::$variant => Notice::$notice,)+ }
            }
        }

        /// The texts, which the BPF object has no use for.
        #[cfg(not(target_arch = "bpf"))]
        impl Reason {
            /// The name in metrics and in messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened, in a sentence without a full stop.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What to do about it, in sentences without the last full stop. Names in backquotes
            /// are commands and keys of the configuration.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)+ }
            }
        }
    };
}

reasons! {
    Malformed {
        name: "malformed",
        notice: Silent,
        meaning: "The frame is shorter than its headers say, or a header, option or extension \
            header contradicts itself",
        advice: "Capture at the sender. A few are noise; many from one sender mean a broken \
            sender, or an attack",
    }
    BadChecksum {
        name: "bad_checksum",
        notice: Silent,
        meaning: "The IPv4 header checksum is wrong, a UDP packet over IPv6 has no checksum, or \
            the checksum of a SYN, a ping or an ICMP error is wrong",
        advice: "Look for a faulty device on the path. If it is every SYN of a virtual machine or \
            namespace on this host, its checksums are left to hardware that does not exist: set \
            `mode = \"tc\"` for its network, or run `ethtool -K DEVICE tx off` at the sender's end. The \
            gateway does not verify other TCP and UDP checksums; the receiver does",
    }
    TtlExpired {
        name: "ttl_expired",
        notice: TimeExceeded,
        meaning: "The time to live, or hop limit, was 0 or 1 on arrival",
        advice: "Look for a routing loop before the gateway. Traceroute causes it too, and is \
            answered",
    }
    Options {
        name: "options",
        notice: Silent,
        meaning: "IPv4 source routing, or IPv6 extension headers that the gateway does not \
            follow: a routing header with segments left, authentication, encryption, mobility and \
            the like, more than 8 headers or 256 bytes of them; any of them before another \
            protocol than TCP and UDP; or, on the way to an IPv4 target or client, extension \
            headers behind a fragment header",
        advice: "Configure the sender to leave them out. Other IPv4 options are \
            overwritten with \"no operation\"; hop-by-hop and destination options are forwarded \
            unchanged, or removed where the packet changes family",
    }
    Fragment {
        name: "fragment",
        notice: Silent,
        meaning: "A fragment of another protocol than TCP and UDP, such as that of a large ping",
        advice: "The gateway does not follow these. Keep such packets below the MTU of every link \
            on the path",
    }
    Protocol {
        name: "protocol",
        notice: Silent,
        meaning: "Neither TCP nor UDP, nor something that the gateway answers itself: ARP, a \
            neighbour solicitation, a ping",
        advice: "Expected for other ICMP messages (redirects, timestamps), and for ICMP errors \
            without a counterpart in the other family where client and target are of different \
            families",
    }
    NoListener {
        name: "no_listener",
        notice: PortUnreachable,
        meaning: "The service has no listener on this protocol and port",
        advice: "Add a `[[service.listener]]`, or configure the client to use another port",
    }
    NoFlow {
        name: "no_flow",
        notice: PortUnreachable,
        meaning: "A TCP packet that opens nothing and belongs to no flow, or any packet to a \
            source address without a flow",
        advice: "Expected after `privatelink down`, after the flow table was replaced, and when a \
            provider tries to open a connection towards a consumer, which never works. The client \
            has to connect again",
    }
    Pending {
        name: "pending",
        notice: Declined,
        meaning: "The connection waits for the provider's decision",
        advice: "The provider decides with `privatelink accept ENDPOINT` or `privatelink reject \
            ENDPOINT`",
    }
    Rejected {
        name: "rejected",
        notice: Declined,
        meaning: "The provider does not admit the connection",
        advice: "`privatelink connections` shows the reason. Accept it, or add the network's \
            principal to the service's `allow` and reload",
    }
    Expired {
        name: "expired",
        notice: Declined,
        meaning: "The grant of the connection has expired",
        advice: "The provider can accept it again, or the consumer can ask with `privatelink \
            request ENDPOINT`",
    }
    NoTarget {
        name: "no_target",
        notice: HostUnreachable,
        meaning: "The service has no target that can take the flow",
        advice: "There must be a target with a weight above 0 that is fit to take flows \
            (`privatelink targets`), and a source address of its family; the interface of the \
            provider's network must exist. Also counted for flows whose target was removed",
    }
    NoNeighbour {
        name: "no_neighbour",
        notice: Silent,
        meaning: "The Ethernet address of the next hop to the target is not known yet",
        advice: "`privatelink status` lists it among the problems. Is the target up, on the link, \
            and does it answer ARP or neighbour solicitations? If it is behind a router, is that \
            router the network's `gateway`?",
    }
    FlowTableFull {
        name: "flow_table_full",
        notice: HostUnreachable,
        meaning: "The flow table has no room for the tuple, or only for endpoints with less than their shares",
        advice: "Compare the flows in `privatelink status` with `max_flows`, and raise that. It \
            takes effect with `privatelink reload --grow`, which keeps the flows. A shorter `idle_timeout` of listeners frees slots sooner",
    }
    PortsExhausted {
        name: "ports_exhausted",
        notice: HostUnreachable,
        meaning: "No port that the endpoint may have was found on the service's source addresses",
        advice: "Add source addresses: each has 64,512 ports towards each target address and \
            port. Or shorten the listener's `idle_timeout`: a flow keeps its port until it ends",
    }
    Contended {
        name: "contended",
        notice: Silent,
        meaning: "Another CPU held this part of the flow table for too long",
        advice: "Harmless once in a while: the client sends again. If the counter keeps rising, \
            report it",
    }
    TooBig {
        name: "too_big",
        notice: TooBig,
        meaning: "The IP packet is larger than the outgoing interface carries",
        advice: "A few are how senders learn the MTU of the path. If a sender keeps sending them, \
            something between it and the gateway drops ICMP",
    }
    NoDevice {
        name: "no_device",
        notice: Silent,
        meaning: "The outgoing interface is not in the device map",
        advice: "Counted while an interface is being replaced. If the counter keeps rising, \
            report it",
    }
    Internal {
        name: "internal",
        notice: Silent,
        meaning: "A record that the packet's flow names is missing, or a program of a later stage \
            is not in place",
        advice: "Counted during a change at most. If the counter keeps rising, report it",
    }
    NotAllowed {
        name: "not_allowed",
        notice: Prohibited,
        meaning: "The endpoint's security rules do not let this client reach this port",
        advice: "Extend the endpoint's `allow`, if the client is meant to have access",
    }
    FlowLimit {
        name: "flow_limit",
        notice: HostUnreachable,
        meaning: "The endpoint has as many flows as its `limits` allow",
        advice: "Look at `privatelink flows NAME`: are they all in use? Raise `flows`, or shorten \
            the listener's `idle_timeout`",
    }
    FlowRateLimit {
        name: "flow_rate_limit",
        notice: HostUnreachable,
        meaning: "The endpoint opens flows faster than its `limits` allow",
        advice: "Raise `new_flows_per_second`, or configure clients to keep their connections \
            open. A burst of one second's worth is allowed",
    }
    PacketRateLimit {
        name: "packet_rate_limit",
        notice: Silent,
        meaning: "The endpoint sends and receives packets faster than its `limits` allow",
        advice: "Raise `packets_per_second`. A burst of a tenth of a second's worth is allowed",
    }
    BitRateLimit {
        name: "bit_rate_limit",
        notice: Silent,
        meaning: "The endpoint sends and receives bits faster than its `limits` allow",
        advice: "Raise `bits_per_second`. A burst of a tenth of a second's worth is allowed",
    }
    IcmpUnrelated {
        name: "icmp_unrelated",
        notice: Silent,
        meaning: "An ICMP error about a packet that belongs to no flow, that is neither TCP nor \
            UDP, a later fragment, or one with IPv6 extension headers other than a fragment \
            header",
        advice: "Expected once in a while, after a flow has ended. Many of them mean that a \
            sender forges errors; they have no effect on flows",
    }
    FragmentTiny {
        name: "fragment_tiny",
        notice: Silent,
        meaning: "The first fragment of a datagram does not hold all of its headers",
        advice: "No correct sender does this: it is a way to evade filters. Find out who the \
            sender is",
    }
    FragmentOverlap {
        name: "fragment_overlap",
        notice: Silent,
        meaning: "A fragment that reaches into the transport header, a datagram that begins twice \
            at the same time, or fragments with more bytes than a datagram can have",
        advice: "No correct sender does this. Find out who the sender is; a few come from packets \
            that the network duplicates",
    }
    FragmentLong {
        name: "fragment_long",
        notice: Silent,
        meaning: "A fragment that ends beyond the 65,535 bytes of the longest datagram",
        advice: "No correct sender does this. Find out who the sender is",
    }
    FragmentUnknown {
        name: "fragment_unknown",
        notice: Silent,
        meaning: "A fragment whose datagram has not begun here: the first fragment was refused or \
            lost, comes later, or came more than 30 s (IPv6: 60 s) ago; or the datagram is \
            complete already",
        advice: "Find out what happened to the first fragment. The gateway keeps no fragments, so \
            a network that delivers others before the first loses these datagrams. Each network \
            has room for 1,024 datagrams in transit, which it shares with every sixteenth other \
            network; a flood of first fragments displaces theirs",
    }
    NoChecksum {
        name: "no_checksum",
        notice: Silent,
        meaning: "A UDP packet over IPv4 has no checksum, its target is an IPv6 one, and it is a \
            fragment, or so long that it lies in several buffers",
        advice: "Configure the sender to compute checksums: over IPv6 each datagram must have \
            one. The gateway adds it to whole datagrams, but a fragment does not show all of its \
            datagram",
    }
    Host {
        name: "host",
        notice: Silent,
        meaning: "Nothing of the gateway's: a packet for the host itself, or for anybody else, \
            that a network with `host = \"services\"` keeps from the host's stack",
        advice: "Expected in every network: broadcasts, requests for other hosts' addresses, \
            router advertisements. If it is a service of the host that the network is to reach, \
            such as a login, set `host = \"all\"`",
    }
    Sender {
        name: "sender",
        notice: Silent,
        meaning: "A sender that cannot be: one outside the network's `subnets` that speaks to the \
            host; or, to an endpoint, an unspecified, loopback, group or broadcast address, an \
            address of the gateway's own, or such an Ethernet address",
        advice: "A host forges its sender address, or `subnets` does not list all of the network's \
            addresses. Capture at the interface to see the Ethernet address that they come from",
    }
    PathMtu {
        name: "path_mtu",
        notice: Silent,
        meaning: "An ICMP error that says that a path carries less than 1,280 bytes (576 towards an \
            IPv4 client), or one about a packet of a target that has not answered yet",
        advice: "A target believes such an error for all clients that share a source address, so \
            none is forwarded. Of a path to clients over IPv4 that carries 576 bytes or more, the \
            gateway takes note for ten minutes, and lowers the largest segment of the endpoint's \
            next connections. Better, lower the MTU of the network, or of the clients' interfaces. \
            Otherwise a host forges errors: find out who the sender is",
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use crate::Notice;

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
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(Reason::ALL[..index].iter().all(|other| other.name() != reason.name()));
        }
    }

    #[test]
    fn texts_fit_into_the_cells_of_a_table() {
        for reason in Reason::ALL {
            for text in [reason.meaning(), reason.advice()] {
                assert!(text.len() > 10, "{}: {text:?}", reason.name());
                assert!(text.starts_with(|first: char| first.is_uppercase() || first == '`'));
                assert!(!text.ends_with('.'), "{}: {text}", reason.name());
                assert!(!text.contains(['|', '\n']), "{}: {text}", reason.name());
                assert!(!text.contains("  "), "{}: {text}", reason.name());
                assert!(!text.contains("]("), "{}: no link in {text}", reason.name());
            }
        }
    }

    #[test]
    fn each_notice_is_given_for_a_reason() {
        for notice in Notice::ALL {
            assert!(Reason::ALL.iter().any(|reason| reason.notice() == *notice), "{notice:?}");
        }
        for reason in Reason::ALL {
            assert!(Notice::ALL.contains(&reason.notice()), "{reason:?}");
        }
    }
}
