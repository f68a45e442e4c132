//! How a daemon is reached: by its socket on this host, or by HTTPS from anywhere.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::{Uri, header::HeaderValue};
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use serde::Deserialize;

use crate::{
    host::certificates::{certificates, trusted},
    state::keys::PresentedKey,
};

/// The port of an URL that names none.
const HTTPS: u16 = 443;

/// A daemon, by how it is reached.
#[derive(Debug)]
pub enum Daemon {
    /// On this host.
    Socket(PathBuf),
    /// Anywhere, if what is needed for that is in order.
    Server(Result<Box<Server>, Unusable>),
}

/// A daemon that is reached by HTTPS.
#[derive(Debug)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
    /// The value of the header that brings the key.
    pub authorization: Option<HeaderValue>,
    /// What TLS is configured with.
    pub tls: Arc<ClientConfig>,
}

/// What options, environment and profile say about a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Its URL.
    pub server: Option<String>,
    /// A file with an access key.
    pub key_file: Option<PathBuf>,
    /// Certificates of the authority that has signed the server's.
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its private key.
    pub cert_file: Option<PathBuf>,
}

/// Why a server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The URL is none.
    #[error("`{0}` is no address of a gateway: write https://HOST:PORT")]
    Url(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error(
        "{} holds a secret, and its group or all users can open it: run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold an access key.
    #[error(
        "{} holds no access key: it must be the last word that `privatelink key create` printed",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A profile cannot be understood.
    #[error("{}: {source}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A certificate is unusable.
    #[error("{0}")]
    Certificate(String),
    /// Neither a key nor a certificate is named.
    #[error("name an access key with --key-file, or a client certificate with --cert-file")]
    Nothing,
    /// Both ways are named.
    #[error("a socket and a server are named: leave out one of the two")]
    Both,
}

impl Reach {
    /// What the file of a profile says; nothing if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn of_profile(path: &Path) -> Result<Self, Unusable> {
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|source| Unusable::Profile { path, source: Box::new(source) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Unusable::Read { path, source }),
        }
    }

    /// Fills in what is missing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            key_file: self.key_file.or(other.key_file),
            ca_file: self.ca_file.or(other.ca_file),
            cert_file: self.cert_file.or(other.cert_file),
        }
    }

    /// Prepares to reach the server.
    ///
    /// # Errors
    /// When the URL or a file is unusable.
    pub fn open(&self) -> Result<Server, Unusable> {
        let text = self.server.clone().unwrap_or_default();
        let wrong = || Unusable::Url(text.clone());
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let host = url.host().filter(|_| url.scheme_str() == Some("https")).ok_or_else(wrong)?;
        if !["", "/"].contains(&url.path()) || url.query().is_some() {
            return Err(wrong());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let authorization = self.key_file.as_deref().map(authorization).transpose()?;
        if authorization.is_none() && self.cert_file.is_none() {
            return Err(Unusable::Nothing);
        }
        let port = url.port_u16().unwrap_or(HTTPS);
        Ok(Server { host, port, name, authorization, tls: self.tls()? })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Unusable> {
        let none = "this host trusts no authority: name that of the server with --ca-file";
        let roots = match self.ca_file.as_deref().or(trusted()) {
            Some(file) => certificates(file).map_err(Unusable::Certificate)?,
            None => return Err(Unusable::Certificate(none.to_owned())),
        };
        let wrong = |error: rustls::Error| Unusable::Certificate(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(wrong)?
            .with_root_certificates(roots);
        let mut config = match &self.cert_file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let text = secret(file)?;
                let failed = |error| Unusable::Certificate(format!("{}: {error}", file.display()));
                let chain = CertificateDer::pem_slice_iter(text.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| failed(error.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
                let key = key.map_err(|error| failed(error.to_string()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| failed(error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The header that brings the key of a file.
fn authorization(path: &Path) -> Result<HeaderValue, Unusable> {
    let text = secret(path)?;
    let none = || Unusable::NoKey { path: path.to_owned() };
    let key = text.trim();
    PresentedKey::read(key).ok_or_else(none)?;
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| none())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The text of a file that nobody but its owner may open.
fn secret(path: &Path) -> Result<String, Unusable> {
    let failed = |source| Unusable::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Err(Unusable::Open { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(server: &str, key: Option<&Path>) -> Reach {
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/src/watch/health/probe/tests/ca.pem");
        Reach {
            server: Some(server.into()),
            key_file: key.map(Path::to_owned),
            ca_file: Some(ca.into()),
            cert_file: None,
        }
    }

    fn file(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_key_file_that_others_can_open_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let key = format!("plk_{}_{}", "0".repeat(12), "1".repeat(64));
        for (mode, part) in [(0o640, "chmod 600"), (0o604, "chmod 600"), (0o620, "chmod 600")] {
            let path = file(folder.path(), &key, mode);
            let error = reach("https://gw:9443", Some(&path)).open().unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("plk_"), "{error}");
        }
        let path = file(folder.path(), "none", 0o600);
        let error = reach("https://gw:9443", Some(&path)).open().unwrap_err().to_string();
        assert!(error.contains("holds no access key"), "{error}");
        let path = file(folder.path(), &format!("{key}\n"), 0o600);
        let server = reach("https://gw:9443", Some(&path)).open().unwrap();
        assert_eq!((server.host.as_str(), server.port), ("gw", 9443));
        assert!(!format!("{server:?}").contains("plk_"));
        let none = reach("https://gw:9443", None).open().unwrap_err();
        assert!(matches!(none, Unusable::Nothing), "{none}");
    }

    #[test]
    fn only_an_https_url_without_a_path_is_a_server() {
        for (url, host) in [
            ("https://10.9.0.1:9443", Some(("10.9.0.1", 9443))),
            ("https://[fd00::1]:9443/", Some(("fd00::1", 9443))),
            ("https://gw.example", Some(("gw.example", 443))),
            ("http://10.9.0.1:9443", None),
            ("10.9.0.1:9443", None),
            ("https://gw/v1", None),
            ("https://gw?x", None),
            ("", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let key = format!("plk_{}_{}", "0".repeat(12), "1".repeat(64));
            let path = file(folder.path(), &key, 0o600);
            let opened = reach(url, Some(&path)).open().ok();
            let found = opened.as_ref().map(|server| (server.host.as_str(), server.port));
            assert_eq!(found, host, "{url}");
        }
    }

    #[test]
    fn options_come_before_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        assert_eq!(Reach::of_profile(&path).unwrap(), Reach::default());
        fs::write(&path, "server = \"https://a\"\nkey_file = \"/k\"\n").unwrap();
        let profile = Reach::of_profile(&path).unwrap();
        let given = Reach { server: Some("https://b".into()), ..Reach::default() };
        let both = given.or(profile);
        assert_eq!(both.server.as_deref(), Some("https://b"));
        assert_eq!(both.key_file.as_deref(), Some(Path::new("/k")));
        fs::write(&path, "sever = \"https://a\"\n").unwrap();
        assert!(Reach::of_profile(&path).is_err());
    }
}
