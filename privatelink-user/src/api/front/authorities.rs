//! Which authority has signed a client certificate, and for whom it may sign.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::tls::certificates;
use crate::{digest::sha256, state::keys::Holder};

/// The authorities of client certificates.
#[derive(Clone, Default)]
pub struct Authorities(Arc<Vec<(Holder, Arc<dyn ClientCertVerifier>)>>);

impl Authorities {
    /// Reads the certificates of authorities as PEM, each with whom it signs for.
    ///
    /// # Errors
    /// When one holds none.
    pub fn read<'a>(texts: impl IntoIterator<Item = (Holder, &'a str)>) -> Result<Self, String> {
        let mut all = Vec::new();
        for (holder, text) in texts {
            let failed = |error: &dyn fmt::Display| format!("`client_ca` of {holder}: {error}");
            let mut roots = RootCertStore::empty();
            for certificate in certificates(text).map_err(|error| failed(&error))? {
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| failed(&error))?;
            all.push((holder, verifier));
        }
        Ok(Self(Arc::new(all)))
    }

    /// For whom the holder of a certificate acts, and the certificate's SHA-256; `None` if no
    /// authority has signed it, or its time is over.
    pub fn holder_of(&self, chain: &[Vec<u8>], now: UnixTime) -> Option<(Holder, String)> {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
        let (own, others) = chain.split_first()?;
        let signed = self
            .0
            .iter()
            .find(|(_, verifier)| verifier.verify_client_cert(own, others, now).is_ok());
        signed.map(|(holder, _)| (holder.clone(), sha256(own)))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(holder, _)| holder)).finish()
    }
}
