//! The kinds of events.

/// Defines the kinds once: the enum, and the words for them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+) => {
        /// What kind of change an event tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it, which begins with that of its group.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

kinds! {
    /// A consumer asks for a connection.
    ConnectionRequested = "connection-requested",
    /// A connection lets packets through, or does so for another time.
    ConnectionAvailable = "connection-available",
    /// A connection is refused.
    ConnectionRejected = "connection-rejected",
    /// A grant has run out, or nobody decided about a request in time.
    ConnectionExpired = "connection-expired",
    /// The endpoint of a connection is gone.
    ConnectionRemoved = "connection-removed",
    /// A configuration is in force.
    ConfigurationApplied = "configuration-applied",
    /// A configuration was not applied; the one before stays in force.
    ConfigurationRefused = "configuration-refused",
    /// The daemon has started.
    GatewayStarted = "gateway-started",
    /// Packets can flow.
    GatewayReady = "gateway-ready",
    /// The daemon ends.
    GatewayEnding = "gateway-ending",
    /// The interface of a network is there and set up.
    InterfaceUp = "interface-up",
    /// The interface of a network is gone or set down.
    InterfaceDown = "interface-down",
    /// The gateway has put its program on an interface.
    InterfaceAttached = "interface-attached",
    /// The gateway's program is no longer on an interface.
    InterfaceDetached = "interface-detached",
    /// A target's health checks pass, and did not before.
    TargetHealthy = "target-healthy",
    /// A target's health checks fail, and did not before.
    TargetUnhealthy = "target-unhealthy",
    /// A target gets no new flows any more, and its flows have some time to end.
    TargetDraining = "target-draining",
    /// That time is over: what was left of them is reset.
    TargetDrained = "target-drained",
    /// A next hop answers, or does so from another Ethernet address.
    NextHopFound = "next-hop-found",
    /// A next hop no longer answers.
    NextHopLost = "next-hop-lost",
    /// Records of flows were not written.
    FlowLogLost = "flow-log-lost",
    /// The name server serves what it is to serve.
    DnsServerUp = "dns-server-up",
    /// The name server is gone.
    DnsServerDown = "dns-server-down",
    /// The name server serves what was right some time ago.
    DnsServerStale = "dns-server-stale",
    /// A private name is not served, since its owner does not agree.
    DnsConflict = "dns-conflict",
    /// A private name is served again, or nobody claims it any more.
    DnsConflictEnded = "dns-conflict-ended",
}

impl Kind {
    /// Whether `word` names a kind, or the group that one belongs to.
    pub fn is_word(word: &str) -> bool {
        Self::ALL.iter().any(|kind| is_of(kind.word(), word))
    }
}

/// Whether the word of a kind is this one, or belongs to this group.
pub(super) fn is_of(kind: &str, group: &str) -> bool {
    kind.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_by_its_word_or_its_group() {
        for word in ["connection", "connection-requested", "next-hop", "next"] {
            assert!(Kind::is_word(word), "{word}");
        }
        for word in ["", "conn", "connection-", "requested", "connection-requested-x"] {
            assert!(!Kind::is_word(word), "{word}");
        }
    }

    #[test]
    fn each_kind_has_a_word_of_its_own() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert!(Kind::ALL[..index].iter().all(|other| other.word() != kind.word()));
        }
    }

    #[test]
    fn every_kind_is_described() {
        let page = include_str!("../../../docs/events.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let described: Vec<&str> = rows.filter(|word| Kind::is_word(word)).collect();
        let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(described, words, "docs/events.md: one row each, in the order of the enum");
    }
}
