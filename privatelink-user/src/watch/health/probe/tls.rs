//! TLS connections to targets.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::failure::Failure;
use crate::{
    host::certificates::certificates,
    model::{Probe, Tls},
    watch::health::check::Check,
};

/// Certificate files are read again after this time, because other programs replace them.
const FRESH: Duration = Duration::from_secs(60);

/// Cache of TLS configurations; checks with equal settings share one.
#[derive(Debug, Default)]
pub(in crate::watch::health) struct Trust(BTreeMap<(Tls, InnerProtocol), (Instant, Configured)>);

/// The protocol inside TLS, for ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum InnerProtocol {
    Http,
    Grpc,
}

/// A TLS configuration, or why it cannot be made.
#[derive(Clone, Debug)]
pub(in crate::watch::health) struct Configured(Result<Arc<ClientConfig>, String>);

impl Trust {
    /// The TLS configuration of a check, if it uses TLS.
    pub fn of(&mut self, probe: &Probe) -> Option<Configured> {
        let (tls, protocol) = match probe {
            Probe::Tcp => return None,
            Probe::Http { tls, .. } => (tls.clone()?, InnerProtocol::Http),
            Probe::Grpc { tls, .. } => (tls.clone()?, InnerProtocol::Grpc),
        };
        let now = Instant::now();
        let key = (tls, protocol);
        if let Some((made, known)) = self.0.get(&key)
            && *made + FRESH > now
        {
            return Some(known.clone());
        }
        let made = Configured(configure(&key.0, protocol).map(Arc::new));
        self.0.insert(key, (now, made.clone()));
        Some(made)
    }
}

impl Configured {
    /// Performs the handshake over an open connection.
    pub async fn wrap(
        self,
        check: &Check,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let config = self.0.map_err(Failure::Tls)?;
        let host = match &check.how.probe {
            Probe::Tcp => None,
            Probe::Http { host, .. } | Probe::Grpc { host, .. } => host.as_ref(),
        };
        let name = match host {
            Some(host) => ServerName::try_from(host.as_str().to_owned())
                .map_err(|error| Failure::Tls(format!("`{host}`: {error}")))?,
            None => ServerName::from(check.at.ip()),
        };
        let agreed = TlsConnector::from(config).connect(name, stream).await;
        agreed.map_err(|error| Failure::Tls(error.to_string()))
    }
}

fn configure(tls: &Tls, protocol: InnerProtocol) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &tls.ca_file {
        Some(file) => builder.with_root_certificates(certificates(file)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Any(provider))),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = match protocol {
        InnerProtocol::Http => vec![b"http/1.1".to_vec()],
        InnerProtocol::Grpc => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// Accepts any certificate: without `ca_file`, a check tests whether a target serves, not whether
/// clients trust it.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
