//! The certificate of the API and the files of secrets: whether they are there, whose they are to
//! read, and for how long the certificate is good.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Finding, HostView};
use crate::{model::Model, timestamp::Timestamp};

/// How long before its end a certificate should be renewed.
const SOON: u64 = 14 * DAY;
const DAY: u64 = 24 * 60 * 60;

/// Looks at the certificate and the secrets.
pub fn examine(host: &HostView, model: &Model) -> Vec<Finding> {
    let gateway = model.gateway();
    let mut found = Vec::new();
    if let Some(api) = &gateway.api {
        found.extend(certificate(host, &api.certificate));
        found.extend(secret(host, &api.key, "the private key of the API"));
    }
    if let Some(token) = &gateway.metrics_token_file {
        found.extend(secret(host, token, "the token of scrapes"));
    }
    found
}

fn certificate(host: &HostView, path: &Path) -> Option<Finding> {
    let shown = path.display();
    let bytes = match host.bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let detail = format!("cannot read the certificate of the API, {shown}: {error}");
            return Some(Finding::error(
                "certificate-missing",
                detail,
                "write it there, or correct `api.certificate`",
            ));
        }
    };
    let first = CertificateDer::pem_slice_iter(&bytes).next().and_then(Result::ok);
    let Some(end) = first.and_then(|certificate| end_of(&certificate)) else {
        let detail = format!("{shown} holds no certificate in PEM");
        return Some(Finding::error(
            "certificate-broken",
            detail,
            "write one there, or correct `api.certificate`",
        ));
    };
    let renew = "renew it: the daemon reads the file anew at `privatelink reload`";
    if end <= host.now {
        let days = (host.now - end) / DAY;
        let detail = format!("the certificate {shown} has expired {days} days ago");
        return Some(Finding::error("certificate-expired", detail, renew));
    }
    (end - host.now < SOON).then(|| {
        let days = (end - host.now) / DAY;
        Finding::warning(
            "certificate-ends",
            format!("the certificate {shown} expires in {days} days"),
            renew,
        )
    })
}

fn secret(host: &HostView, path: &Path, what: &str) -> Option<Finding> {
    let shown = path.display();
    match host.mode(path) {
        None => Some(Finding::error(
            "secret-missing",
            format!("there is no {shown}, which is to be {what}"),
            "write it there, or correct the configuration",
        )),
        Some(mode) if mode & 0o007 != 0 => Some(Finding::error(
            "secret-open",
            format!("{shown}, {what}, can be read by every user (mode {mode:o})"),
            format!("run `chmod o= {shown}`, and replace it"),
        )),
        Some(_) => None,
    }
}

/// When a certificate ends, in seconds since 1970.
fn end_of(certificate: &[u8]) -> Option<u64> {
    /// Tags of DER.
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (tag, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate).filter(|_| tag == SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, _, rest) = element(rest)?;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

/// The first element of some DER: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(*first), rest),
        _ => {
            let count = usize::from(first & 0x7f);
            let (length, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A time of DER: with two digits of the year, or with four.
fn seconds(tag: u8, text: &str) -> Option<u64> {
    const SHORT: u8 = 0x17;
    let text = if tag == SHORT {
        let year: u32 = text.get(..2)?.parse().ok()?;
        format!("{}{text}", if year < 50 { "20" } else { "19" })
    } else {
        text.to_owned()
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let time = format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?);
    Some(Timestamp::try_from(format!("{date}T{time}Z")).ok()?.millis() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(seconds(0x17, "260131120000Z"), seconds(0x18, "20260131120000Z"));
        assert_eq!(seconds(0x18, "20260131120000Z"), Some(1_769_860_800));
        assert_eq!(seconds(0x17, "26013"), None);
    }

    #[test]
    fn broken_lengths_are_no_elements() {
        for bytes in [&[0x30][..], &[0x30, 5, 1], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x30, 0x82, 1]] {
            assert_eq!(element(bytes), None, "{bytes:?}");
        }
        assert_eq!(element(&[4, 2, 7, 8, 9]), Some((4, &[7, 8][..], &[9][..])));
    }
}
