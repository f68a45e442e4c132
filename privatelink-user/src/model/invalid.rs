//! Why a single value is invalid.

use std::time::Duration;

use ipnet::IpNet;

use crate::etcd::NoEndpoint;

/// A value that is invalid in every configuration, whatever the other values are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name with characters that cannot be part of a DNS name.
    #[error("`{0}` is not a name")]
    Name(String),
    /// A name that is longer than a label of a DNS name.
    #[error("the name `{begin}…` has {length} characters")]
    LongName {
        /// How it begins.
        begin: String,
        /// How long it is.
        length: usize,
    },
    /// Text that the kernel would refuse as the name of an interface.
    #[error("`{0}` is not an interface name")]
    Interface(String),
    /// Text that is not a host name.
    #[error("`{0}` is not a DNS name")]
    DnsName(String),
    /// Text that is neither a host name nor a host name behind `*.`.
    #[error("`{0}` is not a DNS name, nor one with `*.` before it")]
    DnsPattern(String),
    /// A number beyond the bounds of its key.
    #[error("{value} is out of range")]
    OutOfRange {
        /// The value in the file.
        value: i64,
        /// The smallest valid value.
        min: i64,
        /// The largest valid value.
        max: i64,
    },
    /// Text that is neither a port nor a range of ports.
    #[error("`{0}` is not a port or a range of ports")]
    PortRange(String),
    /// A range of ports that ends before it begins.
    #[error("the range {0}-{1} ends before it begins")]
    ReversedPorts(u16, u16),
    /// Text that names no status codes of HTTP.
    #[error("`{0}` is not a list of HTTP status codes")]
    StatusCodes(String),
    /// Text that is not a length of time.
    #[error("`{0}` is not a duration")]
    Duration(String),
    /// A length of time beyond the bounds of its key.
    #[error("{} is out of range", short(*.value))]
    DurationOutOfRange {
        /// The value in the file.
        value: Duration,
        /// The shortest valid duration.
        min: Duration,
        /// The longest valid duration.
        max: Duration,
    },
    /// Text that is not a positive number with an optional unit.
    #[error("`{0}` is not a positive number")]
    Quantity(String),
    /// Text that is not an IP address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// The address of a target together with a port.
    #[error("`{address}:{port}` has a port")]
    AddressWithPort {
        /// The address or the name.
        address: String,
        /// The port.
        port: u16,
    },
    /// An IPv4 address in the notation of IPv6, such as `::ffff:10.1.0.50`.
    #[error("`{0}` is an IPv4 address written as IPv6")]
    MappedAddress(std::net::Ipv6Addr),
    /// Text that is not an address prefix.
    #[error("`{0}` is not an address prefix")]
    Prefix(String),
    /// A prefix whose address has bits set beyond its length.
    #[error("`{0}` has bits set beyond its prefix length")]
    HostBits(IpNet),
    /// Text that is not a public key of WireGuard.
    #[error("`{0}` is not a public key")]
    PublicKey(String),
    /// Text that cannot be the name of a network namespace.
    #[error("`{0}` is not the name of a network namespace")]
    Namespace(String),
    /// Text that is not an address with a port.
    #[error("`{0}` is not an address with a port")]
    SocketAddress(String),
    /// Text that is not an address to post to.
    #[error("`{0}` is not an http or https address")]
    Url(String),
    /// Text that is not the address of a member of etcd, and why.
    #[error("`{0}` is not an address of etcd: {1}")]
    Etcd(String, NoEndpoint),
    /// Text that is neither a path, a socket nor the standard output.
    #[error("`{0}` is not a destination for flow records")]
    Destination(String),
    /// A path that depends on the directory in which the daemon was started.
    #[error("`{0}` is not an absolute path")]
    RelativePath(String),
    /// Text of so many bytes that is empty, too long, or more than a line.
    #[error("{0} bytes are not one line of text")]
    Line(usize),
    /// A word that cannot be a tag.
    #[error("`{0}` is not a tag")]
    Tag(String),
    /// A tag's value of so many bytes that is too long, or more than a line.
    #[error("{0} bytes are not the value of a tag")]
    TagValue(usize),
}

impl Invalid {
    /// What to write instead.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of value, and nothing else")]
    pub fn help(&self) -> String {
        let fixed = match self {
            Self::OutOfRange { min, max, .. } => {
                return format!("use a number from {min} to {max}");
            }
            Self::DurationOutOfRange { min, max, .. } => {
                return format!("use {} to {}", short(*min), short(*max));
            }
            Self::ReversedPorts(first, last) => return format!("write \"{last}-{first}\""),
            Self::HostBits(prefix) => return format!("write \"{}\"", prefix.trunc()),
            Self::MappedAddress(address) => match address.to_ipv4_mapped() {
                Some(plain) => return format!("write \"{plain}\""),
                None => "write it in dotted form",
            },
            Self::LongName { .. } => "use at most 63: a name becomes a label in the DNS",
            Self::AddressWithPort { address, port } => {
                return format!(
                    "write \"{address}\" here and `port = {port}` beside it, or `target_port = {port}` \
                     in the listener for all its targets"
                );
            }
            Self::Name(_) => {
                "use 1 to 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or a \
                 digit at both ends"
            }
            Self::Interface(_) => {
                "use the name that `ip link` shows: 1 to 15 characters, without `/`, `:` and spaces"
            }
            Self::DnsName(_) => {
                "use labels of letters, digits and `-` with dots between them, such as \
                 \"payments.internal\""
            }
            Self::DnsPattern(_) => {
                "use a name such as \"payments.internal\", or \"*.internal\" for all names below \
                 `internal`"
            }
            Self::PortRange(_) => {
                "use a port from 1 to 65535, such as \"80\", or a range, such as \"9092-9099\""
            }
            Self::StatusCodes(_) => {
                "use codes from 100 to 599 and ranges of them, such as \"200\", \"200-399\" or \
                 \"200,204,301-302\""
            }
            Self::Duration(_) => "use a number and a unit, such as \"350s\", \"5m\" or \"7d\"",
            Self::Quantity(_) => {
                "use a whole number above 0, with k, M, G or T for powers of 1000, such as 5_000 \
                 or \"10G\""
            }
            Self::Address(_) => "use an address such as \"10.1.0.50\" or \"fd00:1::50\"",
            Self::Prefix(_) => "use a prefix such as \"10.1.0.0/24\" or \"fd00:1::/64\"",
            Self::PublicKey(_) => {
                "use what `privatelink site key` prints at the other site: 44 characters"
            }
            Self::Namespace(_) => "use letters, digits, `-`, `_` and `.`, at most 64",
            Self::SocketAddress(_) => "use an address and a port, such as \"127.0.0.1:9469\"",
            Self::Url(_) => {
                "use an address such as \"https://events.example.net/privatelink\", without a user \
                 or password"
            }
            Self::Etcd(..) => "use an address such as \"https://10.9.0.11:2379\"",
            Self::Destination(_) => {
                "use an absolute path, \"unix:/path\" of a socket, or \"stdout\""
            }
            Self::RelativePath(_) => "begin the path with `/`",
            Self::Line(_) => "write one line of 1 to 500 bytes, without control characters",
            Self::Tag(_) => "use 1 to 63 letters, digits, `-`, `_`, `.`, `/` and `:`",
            Self::TagValue(_) => "write at most 255 bytes on one line",
        };
        fixed.to_owned()
    }
}

/// A length of time as people write it: in the largest unit that divides it, and minutes from two on.
fn short(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = |(unit, size): &(&str, u128)| {
        millis.is_multiple_of(*size) && (*unit != "m" || millis >= 2 * size)
    };
    match units.into_iter().find(fits) {
        Some((_, _)) if millis == 0 => "0s".to_owned(),
        Some((unit, size)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}
