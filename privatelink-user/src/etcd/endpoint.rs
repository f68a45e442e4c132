//! Where a member of the cluster serves clients.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The port on which etcd serves clients unless told otherwise.
const PORT: u16 = 2379;

/// The address of a member: `https://etcd-1.example:2379`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
    is_secure: bool,
}

/// A text that is the address of no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// It has another scheme, or none.
    #[error("it does not begin with `https://`")]
    Scheme,
    /// It has no host, or one with characters that no host has.
    #[error("it names no host")]
    Host,
    /// Its port is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// Something follows the port.
    #[error("it has a path: write scheme, host and port alone")]
    Path,
}

impl Endpoint {
    /// The host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Host and port, as in a URL.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let (scheme, rest) = text.split_once("://").ok_or(NoEndpoint::Scheme)?;
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(NoEndpoint::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(NoEndpoint::Path);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(NoEndpoint::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| NoEndpoint::Host)?;
                let after_colon = || port.strip_prefix(':').ok_or(NoEndpoint::Port);
                (host, if port.is_empty() { None } else { Some(after_colon()?) })
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (authority, None),
                };
                let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if host.is_empty() || !host.chars().all(is_valid) {
                    return Err(NoEndpoint::Host);
                }
                (host, port)
            }
        };
        let port = match port {
            None => PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(NoEndpoint::Port)?,
        };
        Ok(Self { host: host.to_owned(), port, is_secure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for (text, host, shown) in [
            ("https://etcd-1.example:2379", "etcd-1.example", "https://etcd-1.example:2379"),
            ("https://10.0.0.1", "10.0.0.1", "https://10.0.0.1:2379"),
            ("https://[fd00::1]:4001/", "fd00::1", "https://[fd00::1]:4001"),
            ("http://[::1]", "::1", "http://[::1]:2379"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.to_string().as_str()), (host, shown));
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("etcd:2379", NoEndpoint::Scheme),
            ("ftp://etcd", NoEndpoint::Scheme),
            ("https://", NoEndpoint::Host),
            ("https://fd00::1:2379", NoEndpoint::Port),
            ("https://[etcd]", NoEndpoint::Host),
            ("https://[::1", NoEndpoint::Host),
            ("https://a b", NoEndpoint::Host),
            ("https://user@etcd", NoEndpoint::Host),
            ("https://etcd:0", NoEndpoint::Port),
            ("https://etcd:65536", NoEndpoint::Port),
            ("https://etcd:2379/v3", NoEndpoint::Path),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
