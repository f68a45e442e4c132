//! The flow log: where flow records go, and what they contain.

use std::{fmt, path::PathBuf};

use super::{
    number::{Number, Period, Quantity},
    word::Words,
};

/// The time between interval records of a live flow.
pub type LogInterval = Period<1_000, 86_400_000>;
/// How many rotated files are kept.
pub type LogFiles = Number<0, 1_000>;

/// Settings of the flow log.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLog {
    /// The destination of records.
    pub to: Destination,
    /// The format of records.
    pub format: LogFormat,
    /// The time between interval records of a live flow.
    pub interval: LogInterval,
    /// Whether refused flows get records as well.
    pub refusals: bool,
    /// The size in bytes at which a file is rotated.
    pub rotate_size: Quantity,
    /// How many rotated files are kept; with 0, another program removes full files.
    pub rotate_count: LogFiles,
}

impl FlowLog {
    /// Default of `interval`, which is that of AWS VPC Flow Logs.
    pub const DEFAULT_INTERVAL: LogInterval = LogInterval::constant::<600_000>();
    /// Default of `rotate_count`.
    pub const DEFAULT_ROTATE_COUNT: LogFiles = LogFiles::constant::<10>();
    /// Default of `rotate_size`.
    pub const DEFAULT_ROTATE_SIZE: Quantity = Quantity::constant::<100_000_000>();
}

/// The destination of flow records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A file, which is rotated when it is full.
    File(PathBuf),
    /// The daemon's standard output.
    Stdout,
    /// A unix socket on which another program listens.
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

/// The format of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// A line of these fields for each direction, as in AWS VPC Flow Logs.
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
    /// The principal of the consumer.
    AccountId = "account-id" 2,
    /// The name of the endpoint.
    InterfaceId = "interface-id" 2,
    /// The source address, as the consumer's network sees it.
    SrcAddr = "srcaddr" 2,
    /// The destination address, as the consumer's network sees it.
    DstAddr = "dstaddr" 2,
    /// The source port.
    SrcPort = "srcport" 2,
    /// The destination port.
    DstPort = "dstport" 2,
    /// The IP protocol number.
    Protocol = "protocol" 2,
    /// The number of packets.
    Packets = "packets" 2,
    /// The bytes of these packets, from the IP header on.
    Bytes = "bytes" 2,
    /// The earliest time of the first packet, in seconds since 1970.
    Start = "start" 2,
    /// The time of the last packet, in seconds since 1970.
    End = "end" 2,
    /// `ACCEPT` or `REJECT`.
    Action = "action" 2,
    /// `OK`, or `SKIPDATA` where records are missing.
    LogStatus = "log-status" 2,
    /// The name of the consumer's network.
    VpcId = "vpc-id" 3,
    /// Has no counterpart in a gateway: always `-`.
    SubnetId = "subnet-id" 3,
    /// Has no counterpart in a gateway: always `-`.
    InstanceId = "instance-id" 3,
    /// FIN, SYN, RST, and ACK with a SYN, as seen so far.
    TcpFlags = "tcp-flags" 3,
    /// `IPv4` or `IPv6`.
    Type = "type" 3,
    /// The address of the sender: the client or the target.
    PktSrcAddr = "pkt-srcaddr" 3,
    /// The address of the receiver: the client or the target.
    PktDstAddr = "pkt-dstaddr" 3,
    /// Has no counterpart in a gateway: always `-`.
    Region = "region" 4,
    /// The gateway, which is a zone.
    AzId = "az-id" 4,
    /// Has no counterpart in a gateway: always `-`.
    SublocationType = "sublocation-type" 4,
    /// Has no counterpart in a gateway: always `-`.
    SublocationId = "sublocation-id" 4,
    /// Has no counterpart in a gateway: always `-`.
    PktSrcAwsService = "pkt-src-aws-service" 5,
    /// Has no counterpart in a gateway: always `-`.
    PktDstAwsService = "pkt-dst-aws-service" 5,
    /// `ingress` from the client, `egress` to it.
    FlowDirection = "flow-direction" 5,
    /// Has no counterpart in a gateway: always `-`.
    TrafficPath = "traffic-path" 5,
    /// The name of the service.
    Service = "pl-service" 0,
    /// The principal of the provider.
    Provider = "pl-provider" 0,
    /// The source address from which the gateway speaks to the target.
    SourceAddr = "pl-source-addr" 0,
    /// The port of the source address.
    SourcePort = "pl-source-port" 0,
    /// The address of the target.
    TargetAddr = "pl-target-addr" 0,
    /// The port of the target.
    TargetPort = "pl-target-port" 0,
    /// Why the flow ended or was refused.
    Reason = "pl-reason" 0,
}

impl Words for LogField {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        Self::word(self)
    }
}

impl LogField {
    /// The fields that AWS writes by default: those of version 2.
    pub fn default_fields() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|field| field.version() == 2).collect()
    }
}
