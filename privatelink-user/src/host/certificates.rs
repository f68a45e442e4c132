//! Certificates that the host keeps in files.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
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
