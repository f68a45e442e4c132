//! Health checks: how the gateway finds out which targets are healthy.

use std::{fmt, ops::RangeInclusive, path::PathBuf, str::FromStr};

use super::{
    invalid::Invalid,
    name::DnsName,
    number::{Number, Period},
    port::Port,
};

/// The time from one health check to the next.
pub type ProbeInterval = Period<100, 3_600_000>;
/// The time a health check may take.
pub type ProbeTimeout = Period<10, 3_600_000>;
/// How many health checks in a row change a target's health.
pub type Threshold = Number<1, 100>;

/// How a service's targets are checked.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent, and what counts as an answer.
    pub probe: Probe,
    /// The port; `None` checks the target's own port.
    pub port: Option<Port>,
    /// The time from one check to the next.
    pub interval: ProbeInterval,
    /// The time a check may take, less than the interval.
    pub timeout: ProbeTimeout,
    /// Passing checks in a row that make a target healthy.
    pub healthy_threshold: Threshold,
    /// Failing checks in a row that make it unhealthy.
    pub unhealthy_threshold: Threshold,
}

impl HealthCheck {
    /// Default of `interval`.
    pub const DEFAULT_INTERVAL: ProbeInterval = ProbeInterval::constant::<10_000>();
    /// Default of `timeout`.
    pub const DEFAULT_TIMEOUT: ProbeTimeout = ProbeTimeout::constant::<5_000>();
    /// Default of `healthy_threshold` and `unhealthy_threshold`.
    pub const DEFAULT_THRESHOLD: Threshold = Threshold::constant::<2>();
}

/// What a health check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Opens a TCP connection.
    Tcp,
    /// Fetches a path over HTTP.
    Http {
        /// The path, beginning with `/`.
        path: String,
        /// The status codes that pass.
        matcher: StatusCodes,
        /// The host that the request names; `None` is the target's address.
        host: Option<DnsName>,
        /// With TLS, it is HTTPS.
        tls: Option<Tls>,
    },
    /// Asks the gRPC health service.
    Grpc {
        /// The service that the check asks about; empty is the server as a whole.
        service: String,
        /// The host that the request names; `None` is the target's address.
        host: Option<DnsName>,
        /// With TLS, gRPC runs over it.
        tls: Option<Tls>,
    },
}

/// How the certificate of a target is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// A file with the certificates that sign the target's; without it any certificate passes.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, tls) = match self {
            Self::Tcp => return f.write_str("tcp"),
            Self::Http { path, matcher, host, tls } => {
                let protocol = if tls.is_some() { "https" } else { "http" };
                write!(f, "{protocol} {path} expecting {matcher}")?;
                (host, tls)
            }
            Self::Grpc { service, host, tls } => {
                write!(f, "grpc{}", if tls.is_some() { " over tls" } else { "" })?;
                if !service.is_empty() {
                    write!(f, " {service}")?;
                }
                (host, tls)
            }
        };
        if let Some(host) = host {
            write!(f, " of {host}")?;
        }
        match tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) {
            Some(file) => write!(f, " verified by {}", file.display()),
            None => Ok(()),
        }
    }
}

/// Status codes of HTTP, such as `200-399`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCodes(Vec<RangeInclusive<u16>>);

impl StatusCodes {
    /// Whether `code` is one of them.
    pub fn contain(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

impl Default for StatusCodes {
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl TryFrom<i64> for StatusCodes {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        value.to_string().parse()
    }
}

impl FromStr for StatusCodes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code = |part: &str| {
            let part = part.trim();
            let digits = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
            let code = if digits { part.parse().ok() } else { None };
            code.filter(|code| (100..=599).contains(code))
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = code(first).zip(code(last))?;
            (first <= last).then_some(first..=last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Self).ok_or_else(|| Invalid::StatusCodes(text.into()))
    }
}

impl fmt::Display for StatusCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_read_and_written_alike() {
        for (text, inside, outside) in
            [("200", 200, 201), ("200-399", 302, 400), ("200,204,301-302", 301, 205)]
        {
            let codes: StatusCodes = text.parse().unwrap();
            assert_eq!(codes.to_string(), text);
            assert!(codes.contain(inside) && !codes.contain(outside), "{text}");
        }
        for bad in ["", "20", "600", "099", "399-200", "200-", "-200", "+20", "2xx", "200;201"] {
            assert!(bad.parse::<StatusCodes>().is_err(), "{bad}");
        }
        assert_eq!(StatusCodes::default().to_string(), "200-399");
    }
}
