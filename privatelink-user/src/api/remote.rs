//! Callers on other hosts: the process that serves HTTPS says where they are, and who they are is
//! found out here.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use rustls::pki_types::UnixTime;
use tokio::sync::watch;

use super::front::{authorities::Authorities, channel::RemoteConnection};
use crate::{
    access::{Denied, Identity, Register},
    state::keys::PresentedKey,
};

/// A caller on another host.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    address: IpAddr,
    certificates: Arc<Vec<Vec<u8>>>,
    authorities: watch::Receiver<Authorities>,
}

impl Remote {
    /// The other end of a connection.
    pub fn of(connection: &RemoteConnection, authorities: &watch::Receiver<Authorities>) -> Self {
        Self {
            address: connection.peer.ip().to_canonical(),
            certificates: Arc::new(connection.certificates.clone()),
            authorities: authorities.clone(),
        }
    }

    /// Where the caller is.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Who makes a request: the holder of its key, or else of the connection's certificate. A wrong
    /// key is refused even with a certificate: the caller means the key.
    pub fn identify(&self, headers: &HeaderMap, register: &Register) -> Result<Identity, Denied> {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let brought = value.to_str().ok().and_then(|value| value.split_once(' '));
            let key = brought.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let key = key.and_then(|(_, key)| PresentedKey::read(key.trim()));
            return register.holder_of(&key.ok_or(Denied::WrongKey)?, self.address);
        }
        // Each time anew: the certificate may have ended, and its authority may count no more.
        let signed = self.authorities.borrow().holder_of(&self.certificates, UnixTime::now());
        let (holder, digest) = signed.ok_or(Denied::NoKey)?;
        Ok(Identity::Certificate { digest, holder, address: self.address })
    }
}
