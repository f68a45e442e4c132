//! The protocol between the daemon and the process: see [`framing`](crate::framing).

use std::{net::SocketAddr, os::unix::net::UnixStream};

use serde::{Deserialize, Serialize};

use crate::digest::{bytes, hexadecimal};

/// Maximum length of a frame to the daemon. TLS takes 64 KiB of certificates, and each byte is two
/// digits.
pub const LONGEST: usize = 256 << 10;
/// Maximum number of certificates in a chain.
pub const MOST_CERTIFICATES: usize = 8;

/// A request from the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Show these certificates to new connections from now on.
    Show(Box<Credentials>),
    /// Accept connections at the listener that the frame passes, instead of an earlier one.
    Listen,
}

/// What TLS needs, each as PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The certificate of the gateway, and those that lead to its authority.
    pub chain: String,
    /// The private key of the first certificate.
    pub key: String,
    /// The authorities of client certificates.
    pub authorities: Vec<String>,
}

/// The key is shown nowhere.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("authorities", &self.authorities.len()).finish()
    }
}

/// A message to the daemon. The frame passes the connection, on which requests follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// The caller's address.
    pub peer: SocketAddr,
    /// The caller's certificate and those that lead to its authority, as DER in hexadecimal digits; none if it
    /// has shown none.
    pub certificates: Vec<String>,
}

/// A connection that the process has passed on.
#[derive(Debug)]
pub struct RemoteConnection {
    /// The caller's address.
    pub peer: SocketAddr,
    /// The certificates that it has shown, as DER; its own is the first.
    pub certificates: Vec<Vec<u8>>,
    /// What it sends, decrypted.
    pub stream: UnixStream,
}

impl Connected {
    /// Describes a connection.
    pub fn of(peer: SocketAddr, certificates: &[impl AsRef<[u8]>]) -> Self {
        let certificates = certificates.iter().take(MOST_CERTIFICATES);
        Self { peer, certificates: certificates.map(|one| hexadecimal(one.as_ref())).collect() }
    }

    /// Joins the description with the connection; `None` if it makes no sense.
    pub fn with(self, stream: UnixStream) -> Option<RemoteConnection> {
        if self.certificates.len() > MOST_CERTIFICATES {
            return None;
        }
        let certificates = self.certificates.iter().map(|text| bytes(text));
        let certificates = certificates.collect::<Option<Vec<_>>>()?;
        Some(RemoteConnection { peer: self.peer, certificates, stream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_as_it_was_written_or_not_at_all() {
        let (stream, _far) = UnixStream::pair().unwrap();
        let peer = "[fd00::1]:443".parse().unwrap();
        let connected = Connected::of(peer, &[[1_u8, 255].as_slice(), &[]]);
        let read = connected.with(stream.try_clone().unwrap()).unwrap();
        assert_eq!((read.peer, read.certificates), (peer, vec![vec![1, 255], Vec::new()]));
        for wrong in ["0", "0g", "é"] {
            let connected = Connected { peer, certificates: vec![wrong.into()] };
            assert!(connected.with(stream.try_clone().unwrap()).is_none(), "{wrong}");
        }
        let many = Connected { peer, certificates: vec![String::new(); MOST_CERTIFICATES + 1] };
        assert!(many.with(stream).is_none());
    }
}
