//! The kinds of events, with their meaning: `docs/events.md` lists them from here.

use std::fmt::Write as _;

/// The group of events about connections.
pub(super) const CONNECTION: &str = "connection";

/// Who sees events of a kind. Administrators see all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// The principals of the endpoint and of the service.
    Parties,
    /// The principal that the network belongs to.
    Network,
    /// The principal that provides the service.
    Service,
    /// The principal that has caused it.
    Principal,
    /// No principal.
    Administrators,
}

impl Audience {
    const fn words(self) -> &'static str {
        match self {
            Self::Parties => "consumer and provider",
            Self::Network => "the network's principal",
            Self::Service => "the service's principal",
            Self::Principal => "that principal",
            Self::Administrators => "administrators",
        }
    }
}

/// Defines each kind once: the variant, its word, its meaning as Markdown and its audience.
macro_rules! kinds {
    ($($variant:ident = $word:literal, $meaning:literal, $audience:ident;)+) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $meaning] $variant,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it, which begins with that of its group.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What has happened, as Markdown; links are relative to `docs/`.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            const fn audience(self) -> Audience {
                match self { $(Self::$variant => Audience::$audience,)+ }
            }
        }
    };
}

kinds! {
    ConnectionRequested = "connection-requested",
        "A consumer requests a connection.", Parties;
    ConnectionAvailable = "connection-available",
        "A connection is accepted, or accepted for another period.", Parties;
    ConnectionRejected = "connection-rejected",
        "A connection is rejected, by a decision or because the service does not allow the principal.", Parties;
    ConnectionExpired = "connection-expired",
        "A grant has expired, or a request was not decided in time.", Parties;
    ConnectionRemoved = "connection-removed",
        "The endpoint of a connection was removed.", Parties;
    ConfigurationApplied = "configuration-applied",
        "A configuration is in force.", Administrators;
    ConfigurationRefused = "configuration-refused",
        "A configuration was refused; the previous one stays in force.", Administrators;
    GatewayStarted = "gateway-started",
        "The daemon has started.", Administrators;
    GatewayReady = "gateway-ready",
        "The gateway forwards packets.", Administrators;
    GatewayEnding = "gateway-ending",
        "The daemon is shutting down.", Administrators;
    InterfaceUp = "interface-up",
        "The interface of a network exists and is up.", Network;
    InterfaceDown = "interface-down",
        "The interface of a network is down or was removed.", Network;
    InterfaceAttached = "interface-attached",
        "The gateway has attached its program to an interface.", Network;
    InterfaceDetached = "interface-detached",
        "The gateway's program is no longer attached to an interface.", Network;
    TargetHealthy = "target-healthy",
        "A target's health checks pass, and did not before ([health.md](health.md)).", Service;
    TargetUnhealthy = "target-unhealthy",
        "A target's health checks fail, and did not before.", Service;
    TargetDraining = "target-draining",
        "A target was removed or its weight is 0; its flows may continue for a while ([targets.md](targets.md)).", Service;
    TargetDrained = "target-drained",
        "That time is over; remaining flows are reset.", Service;
    NextHopFound = "next-hop-found",
        "A next hop answers, or answers from another Ethernet address.", Network;
    NextHopLost = "next-hop-lost",
        "A next hop no longer answers.", Network;
    NextHopFlapping = "next-hop-flapping",
        "A next hop has changed again and again; reported at most once a minute, with the number of changes.", Network;
    AddressConflict = "address-conflict",
        "Another host in a network uses an address of the gateway there ([operation.md](operation.md#address-conflicts)).", Network;
    AddressConflictEnded = "address-conflict-ended",
        "No other host uses the address any more.", Network;
    EventsLeftOut = "events-left-out",
        "A principal has caused too many events of a kind; reported at most once a minute, with their number.", Principal;
    FlowLogLost = "flow-log-lost",
        "Records are missing in the flow log ([flow-log.md](flow-log.md)); reported at most once a minute.", Administrators;
    FlowsLeftBehind = "flows-left-behind",
        "A new flow table has begun without some flows of the one before ([operation.md](operation.md#restarts-and-upgrades)).", Administrators;
    DnsServerUp = "dns-server-up",
        "The name server is running and has its names ([dns.md](dns.md)).", Administrators;
    DnsServerDown = "dns-server-down",
        "The name server has exited, cannot be started, or has no names left to serve.", Administrators;
    DnsServerStale = "dns-server-stale",
        "The name server has not accepted an update for ten seconds; it serves the previous names.", Administrators;
    SiteUp = "site-up",
        "Another site reports: the encrypted link stands ([backbone.md](backbone.md)).", Network;
    SiteSilent = "site-silent",
        "Another site has not reported for ten seconds.", Network;
    KeyCreated = "key-created",
        "An access key was made ([access.md](access.md)).", Principal;
    KeyRevoked = "key-revoked",
        "An access key was revoked.", Principal;
    DnsConflict = "dns-conflict",
        "A private name is not served because its owner has not confirmed the provider.", Service;
    DnsConflictEnded = "dns-conflict-ended",
        "The owner has confirmed the provider, or the name is no longer claimed.", Service;
}

impl Kind {
    /// Whether `word` names a kind, or the group that one belongs to.
    pub fn is_word(word: &str) -> bool {
        Self::ALL.iter().any(|kind| is_of(kind.word(), word))
    }
}

/// The table of all kinds in `docs/events.md`, as Markdown.
pub fn kinds_table() -> String {
    let mut table = "| kind | meaning | seen by |\n|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let (word, meaning, audience) = (kind.word(), kind.meaning(), kind.audience().words());
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{word}` | {meaning} | {audience} |");
    }
    table
}

/// Whether a kind's word is `group`, or belongs to that group.
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
    fn the_page_lists_every_kind_with_its_meaning() {
        let page = include_str!("../../../docs/events.md");
        let (_, rest) = page.split_once("<!-- generated: event-kinds -->\n").unwrap();
        let (table, _) = rest.split_once("<!-- end -->").unwrap();
        assert_eq!(table.trim(), kinds_table().trim(), "run `cargo xtask docs`");
    }
}
