//! What TLS is configured with: version 1.3 only.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use super::channel::Credentials;

/// The configuration of a server with these credentials. Callers may show a certificate of one of the
/// authorities, or none.
///
/// # Errors
/// When they do not fit together; the text says why.
pub(super) fn config(credentials: &Credentials) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&credentials.chain)?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes());
    let key = key.map_err(|error| format!("the private key: {error}"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for authority in &credentials.authorities {
        for certificate in certificates(authority)? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
    }
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| error.to_string())?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("the certificate: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket would outlive a certificate that is taken back.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// The certificates in a text.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes());
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}
