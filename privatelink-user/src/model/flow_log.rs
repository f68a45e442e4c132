//! The flow log: where records of flows go, and what they look like.

use std::{fmt, path::PathBuf};

use super::{Number, Period, Quantity};

/// The time after which a flow that lasts gets a record.
pub type LogInterval = Period<1_000, 86_400_000>;
/// How many full files are kept.
pub type LogFiles = Number<0, 1_000>;

/// Settings of the flow log.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLog {
    /// Where records go.
    pub to: Destination,
    /// What they look like.
    pub format: LogFormat,
    /// How often a flow that lasts gets a record.
    pub interval: LogInterval,
    /// Whether refused flows get records, too.
    pub refusals: bool,
    /// Bytes of a file before the next one is begun.
    pub rotate_size: Quantity,
    /// How many full files are kept; with none, somebody else takes them away.
    pub rotate_count: LogFiles,
}

impl FlowLog {
    /// The interval unless the configuration names another: that of the clouds.
    pub const DEFAULT_INTERVAL: LogInterval = LogInterval::constant::<600_000>();
    /// The number of files unless the configuration names another.
    pub const DEFAULT_ROTATE_COUNT: LogFiles = LogFiles::constant::<10>();
    /// The size of files unless the configuration names another.
    pub const DEFAULT_ROTATE_SIZE: u64 = 100_000_000;
}

/// Where records of flows go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To a file, which is begun anew when it is full.
    File(PathBuf),
    /// To the daemon's standard output.
    Stdout,
    /// To whoever listens on a unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
            Self::Socket(path) => write!(f, "the socket {}", path.display()),
        }
    }
}

/// What a record looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// A line of these fields for each direction, as AWS VPC Flow Logs have it.
    Vpc(Vec<LogField>),
}

/// Defines the fields once: the enum, their words and the version that brought them.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal $version:literal,)+) => {
        /// A field of a line in the form of AWS VPC Flow Logs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum LogField {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl LogField {
            /// Every field, in the order of the versions.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in configurations and headings.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The version of the format that brought it; the gateway's own belong to none.
            pub const fn version(self) -> u8 {
                match self { $(Self::$variant => $version,)+ }
            }
        }
    };
}

fields! {
    /// The highest version among the fields.
    Version = "version" 2,
    /// The consumer.
    AccountId = "account-id" 2,
    /// The endpoint.
    InterfaceId = "interface-id" 2,
    /// Where packets come from, as the consumer's network sees it.
    SrcAddr = "srcaddr" 2,
    /// Where they go.
    DstAddr = "dstaddr" 2,
    /// The port that they come from.
    SrcPort = "srcport" 2,
    /// The port that they go to.
    DstPort = "dstport" 2,
    /// The IP protocol number.
    Protocol = "protocol" 2,
    /// How many packets.
    Packets = "packets" 2,
    /// Their IP bytes.
    Bytes = "bytes" 2,
    /// When the first of them may have come, in seconds of 1970.
    Start = "start" 2,
    /// When the last of them came.
    End = "end" 2,
    /// `ACCEPT` or `REJECT`.
    Action = "action" 2,
    /// `OK`, or `SKIPDATA` where records are missing.
    LogStatus = "log-status" 2,
    /// The consumer's network.
    VpcId = "vpc-id" 3,
    /// Unknown here.
    SubnetId = "subnet-id" 3,
    /// Unknown here.
    InstanceId = "instance-id" 3,
    /// FIN, SYN, RST, and ACK with a SYN, as seen so far.
    TcpFlags = "tcp-flags" 3,
    /// `IPv4` or `IPv6`.
    Type = "type" 3,
    /// Who sent the packets: the client, or the target.
    PktSrcAddr = "pkt-srcaddr" 3,
    /// Who got them.
    PktDstAddr = "pkt-dstaddr" 3,
    /// Unknown here.
    Region = "region" 4,
    /// The gateway, which is a zone.
    AzId = "az-id" 4,
    /// Unknown here.
    SublocationType = "sublocation-type" 4,
    /// Unknown here.
    SublocationId = "sublocation-id" 4,
    /// Unknown here.
    PktSrcAwsService = "pkt-src-aws-service" 5,
    /// Unknown here.
    PktDstAwsService = "pkt-dst-aws-service" 5,
    /// `ingress` from the client, `egress` to it.
    FlowDirection = "flow-direction" 5,
    /// Unknown here.
    TrafficPath = "traffic-path" 5,
    /// The service.
    Service = "pl-service" 0,
    /// The provider.
    Provider = "pl-provider" 0,
    /// From where the gateway speaks to the target.
    SourceAddr = "pl-source-addr" 0,
    /// The port of that.
    SourcePort = "pl-source-port" 0,
    /// The target.
    TargetAddr = "pl-target-addr" 0,
    /// The port of that.
    TargetPort = "pl-target-port" 0,
    /// Why the flow ended or was refused.
    Reason = "pl-reason" 0,
}

impl LogField {
    /// The fields that AWS writes unless it is told others: those of version 2.
    pub fn default_fields() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|field| field.version() == 2).collect()
    }
}
