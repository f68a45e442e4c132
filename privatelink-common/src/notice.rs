//! How the sender of a refused packet is notified.

/// How the sender of a refused packet is notified, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Not at all: no correct sender sends such a packet, or the refusal passes by itself and the
    /// sender tries again.
    Silent,
    /// No program listens there.
    PortUnreachable,
    /// There is no way to the target now.
    HostUnreachable,
    /// Access is denied.
    Prohibited,
    /// [`Notice::Prohibited`], or not at all if the provider has chosen so.
    Declined,
    /// The packet made too many hops.
    TimeExceeded,
    /// The packet is too large for the way out; the notice says how large it may be.
    TooBig,
}

impl Notice {
    /// Every way to notify a sender.
    pub const ALL: &'static [Self] = &[
        Self::PortUnreachable,
        Self::Declined,
        Self::Prohibited,
        Self::HostUnreachable,
        Self::TimeExceeded,
        Self::TooBig,
        Self::Silent,
    ];

    /// Whether a notice may be sent.
    #[inline(always)]
    pub const fn is_sent(self) -> bool {
        !matches!(self, Self::Silent)
    }
}

/// What the sender sees, for the page about drop reasons.
#[cfg(not(target_arch = "bpf"))]
impl Notice {
    /// What answers a TCP packet.
    pub const fn over_tcp(self) -> &'static str {
        match self {
            Self::Silent => "nothing",
            Self::PortUnreachable | Self::HostUnreachable | Self::Prohibited => "reset",
            Self::Declined => "reset, or nothing if `on_pending` or `on_reject` is `\"drop\"`",
            Self::TimeExceeded => "ICMP time exceeded: 11/0, 3/0",
            Self::TooBig => "ICMP fragmentation needed or packet too big, with the MTU: 3/4, 2/0",
        }
    }

    /// What answers a UDP packet: an ICMP error, with type and code over IPv4, then over IPv6.
    pub const fn over_udp(self) -> &'static str {
        match self {
            Self::Silent => "nothing",
            Self::PortUnreachable => "port unreachable: 3/3, 1/4",
            Self::HostUnreachable => "host unreachable: 3/1, 1/3",
            Self::Prohibited => "administratively prohibited: 3/13, 1/1",
            Self::Declined => "administratively prohibited: 3/13, 1/1; or nothing",
            Self::TimeExceeded | Self::TooBig => "the same",
        }
    }
}
