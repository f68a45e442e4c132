//! The steps of the way, and what is found at each.

use std::fmt;

/// A step, in the order in which a packet meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The consumer's interface is there, up, and has the programs.
    Attachment,
    /// The endpoint has addresses, and no other host uses them.
    Addresses,
    /// Its names are served.
    Names,
    /// The sender is a client of the network.
    Sender,
    /// The connection is available.
    Connection,
    /// The service has a listener on the port.
    Listener,
    /// The security rules allow the client.
    Rules,
    /// The limits allow one more flow and packet.
    Limits,
    /// The flow table has room.
    Room,
    /// The programs do what the daemon has asked for.
    Programs,
    /// The provider's interface is there, up, and has the programs.
    ProviderAttachment,
    /// A target takes new flows.
    Targets,
    /// The next hop to it answers.
    NextHop,
    /// The service has a source address of its family, which no other host uses.
    SourceAddresses,
    /// A source port is free.
    Ports,
    /// Packets of the usual size pass.
    Mtu,
    /// The target answers.
    Answer,
    /// The programs carry its answer back to the client.
    WayBack,
}

/// Whose side of the gateway a step is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The consumer's network.
    Consumer,
    /// Neither: what all tenants share.
    Gateway,
    /// The provider's network.
    Provider,
}

/// Who can mend a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The owner of the endpoint's network.
    Consumer,
    /// The gateway's operator.
    Operator,
    /// The service's provider.
    Provider,
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It lets packets through.
    Passed,
    /// It could not be looked at.
    NotChecked,
    /// It lets packets through, and something is wrong even so.
    Doubtful,
    /// It lets no packet through.
    Failed,
}

/// What was found at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The step.
    pub step: Step,
    /// What is known of it.
    pub outcome: Outcome,
    /// For people.
    pub detail: String,
    /// Who can mend it, and how.
    pub remedy: Option<(Owner, String)>,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 18] = [
        Self::Attachment,
        Self::Addresses,
        Self::Names,
        Self::Sender,
        Self::Connection,
        Self::Listener,
        Self::Rules,
        Self::Limits,
        Self::Room,
        Self::Programs,
        Self::ProviderAttachment,
        Self::Targets,
        Self::NextHop,
        Self::SourceAddresses,
        Self::Ports,
        Self::Mtu,
        Self::Answer,
        Self::WayBack,
    ];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Attachment => "attachment",
            Self::Addresses => "addresses",
            Self::Names => "names",
            Self::Sender => "sender",
            Self::Connection => "connection",
            Self::Listener => "listener",
            Self::Rules => "rules",
            Self::Limits => "limits",
            Self::Room => "room",
            Self::Programs => "programs",
            Self::ProviderAttachment => "provider-attachment",
            Self::Targets => "targets",
            Self::NextHop => "next-hop",
            Self::SourceAddresses => "source-addresses",
            Self::Ports => "ports",
            Self::Mtu => "mtu",
            Self::Answer => "answer",
            Self::WayBack => "way-back",
        }
    }

    /// What it is about, for the page that lists them.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Attachment => "the consumer's interface exists, is up, and has the programs",
            Self::Addresses => "the endpoint has addresses, which no other host uses",
            Self::Names => "the name server has its names, and an address to be asked at",
            Self::Sender => "the client's address is that of a host",
            Self::Connection => "the connection is available",
            Self::Listener => "the service is offered on the port",
            Self::Rules => "the endpoint's `allow` lets the client reach the port",
            Self::Limits => "its `limits` leave room for a flow and its packets",
            Self::Room => "the flow table has room for it",
            Self::Programs => "the programs have the records that the daemon wanted them to have",
            Self::ProviderAttachment => {
                "the provider's interface exists, is up, and has the programs"
            }
            Self::Targets => "a target takes new flows, by weight and health",
            Self::NextHop => "there is a next hop to it, which answers",
            Self::SourceAddresses => {
                "there is a source address of its family, which no other host uses"
            }
            Self::Ports => "a source port is free",
            Self::Mtu => "packets as large as both interfaces carry pass both ways",
            Self::Answer => "the target accepts a connection of the gateway's own (TCP)",
            Self::WayBack => "its answer is carried back to the client",
        }
    }

    /// Whose side it is on.
    pub fn side(self) -> Side {
        match self {
            Self::Attachment
            | Self::Addresses
            | Self::Names
            | Self::Sender
            | Self::Listener
            | Self::Rules
            | Self::Limits => Side::Consumer,
            // Both parties see the connection between them.
            Self::Connection | Self::Room | Self::Programs => Side::Gateway,
            Self::ProviderAttachment
            | Self::Targets
            | Self::NextHop
            | Self::SourceAddresses
            | Self::Ports
            | Self::Mtu
            | Self::Answer
            | Self::WayBack => Side::Provider,
        }
    }
}

impl Side {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Gateway => "gateway",
            Self::Provider => "provider",
        }
    }
}

impl Owner {
    /// The name of the role.
    pub fn word(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Operator => "operator",
            Self::Provider => "provider",
        }
    }
}

impl Outcome {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotChecked => "not-checked",
            Self::Doubtful => "doubtful",
            Self::Failed => "failed",
        }
    }
}

impl Finding {
    /// The step lets packets through.
    pub fn passed(step: Step, detail: impl fmt::Display) -> Self {
        Self { step, outcome: Outcome::Passed, detail: detail.to_string(), remedy: None }
    }

    /// The step could not be looked at, for this reason.
    pub fn not_checked(step: Step, detail: impl fmt::Display) -> Self {
        Self { outcome: Outcome::NotChecked, ..Self::passed(step, detail) }
    }

    /// The step lets no packet through.
    pub fn failed(
        step: Step,
        detail: impl fmt::Display,
        owner: Owner,
        remedy: impl fmt::Display,
    ) -> Self {
        let remedy = Some((owner, remedy.to_string()));
        Self { step, outcome: Outcome::Failed, detail: detail.to_string(), remedy }
    }

    /// Packets pass, and something is wrong even so.
    pub fn doubtful(
        step: Step,
        detail: impl fmt::Display,
        owner: Owner,
        remedy: impl fmt::Display,
    ) -> Self {
        Self { outcome: Outcome::Doubtful, ..Self::failed(step, detail, owner, remedy) }
    }
}
