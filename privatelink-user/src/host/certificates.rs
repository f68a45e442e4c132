//! Certificates that the host keeps in files.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Where distributions keep the certificates of authorities; the first file that exists is used.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The file of the authorities that this host trusts, if there is one.
pub fn trusted() -> Option<&'static Path> {
    TRUSTED.map(Path::new).into_iter().find(|file| file.exists())
}

/// Reads a file of certificates of authorities.
///
/// # Errors
/// When the file cannot be read or holds no certificate; the text names the file.
pub fn certificates(file: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        store.add(certificate).map_err(|error| failed(&error))?;
    }
    if store.is_empty() {
        return Err(failed(&"it holds no certificate"));
    }
    Ok(store)
}

/// How a client proves who it is to servers whose certificates an authority has signed.
///
/// # Errors
/// When a file cannot be read, or the key is not the certificate's; the text names the file.
pub fn client_config(ca: &Path, certificate: &Path, key: &Path) -> Result<ClientConfig, String> {
    let failed = |file: &Path, error: &dyn std::fmt::Display| {
        format!("cannot read {}: {error}", file.display())
    };
    let roots = certificates(ca)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed(certificate, &error));
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain?, private)
        .map_err(|error| failed(certificate, &error))
}
