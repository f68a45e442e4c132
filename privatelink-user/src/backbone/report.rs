//! What sites report to each other, inside the link.
//!
//! A report is a hint for people, never a permission: each gateway obeys its own configuration and
//! decisions alone. A site that lies in its reports deceives the people who read them, and no packet.

use serde::{Deserialize, Serialize};

use crate::{
    model::{Name, PublicKey},
    state::connection::Acceptance,
};

/// The longest report. A datagram of this length is cut into fragments inside the link.
pub(super) const LONGEST: usize = 48 * 1024;
/// The most services in a report, and ports of each.
const MOST: usize = 256;
/// The version of this format.
const VERSION: u32 = 1;

/// What one site tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    version: u32,
    /// The sender, as its own configuration calls it.
    pub site: Name,
    /// The receiver, as the sender's configuration calls it.
    pub peer: Name,
    /// The receiver's keys that the sender accepts.
    pub keys: Vec<String>,
    /// What endpoints of the sender use of the receiver.
    pub wants: Vec<Want>,
    /// What the receiver may use of the sender.
    pub offers: Vec<Offer>,
}

/// A service that endpoints use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Want {
    /// The service.
    pub service: Name,
    /// The ports on which they expect it.
    pub ports: Vec<String>,
}

/// A service that may be used, once its connection is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// The service.
    pub service: Name,
    /// Where it is offered.
    pub ports: Vec<String>,
    /// The provider's decision.
    pub state: Acceptance,
}

impl Report {
    /// A report of this release.
    pub fn new(
        (site, peer): (&Name, &Name),
        keys: &[PublicKey],
        (wants, offers): (&[Want], &[Offer]),
    ) -> Self {
        Self {
            version: VERSION,
            site: site.clone(),
            peer: peer.clone(),
            keys: keys.iter().map(PublicKey::to_string).collect(),
            wants: wants.iter().take(MOST).cloned().collect(),
            offers: offers.iter().take(MOST).cloned().collect(),
        }
    }

    /// The bytes that are sent; `None` if they are too many.
    pub fn encode(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() <= LONGEST)
    }

    /// What bytes say that another site has sent. Everything is bounded, and names are names: they
    /// end up on terminals.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        let report: Self = serde_json::from_slice(bytes).ok()?;
        let ports = report.wants.iter().map(|want| &want.ports);
        let mut ports = ports.chain(report.offers.iter().map(|offer| &offer.ports));
        let is_bounded = report.wants.len() <= MOST
            && report.offers.len() <= MOST
            && report.keys.len() <= MOST
            && ports.all(|ports| ports.len() <= MOST && ports.iter().all(|port| is_port(port)));
        (is_bounded && report.version == VERSION).then_some(report)
    }
}

/// Whether a text is like `tcp/9092-9099`.
fn is_port(text: &str) -> bool {
    text.split_once('/').is_some_and(|(protocol, ports)| {
        matches!(protocol, "tcp" | "udp")
            && ports.len() <= 11
            && ports.chars().all(|c| c.is_ascii_digit() || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let ports = vec!["tcp/443".to_owned(), "tcp/9092-9099".to_owned()];
        let want = Want { service: name("payments"), ports: ports.clone() };
        let offer = Offer { service: name("mail"), ports, state: Acceptance::Pending };
        Report::new(
            (&name("site-a"), &name("site-b")),
            &[PublicKey::new([7; 32])],
            (&[want], &[offer]),
        )
    }

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let sent = report();
        assert_eq!(Report::decode(&sent.encode().unwrap()), Some(sent));
    }

    #[test]
    fn what_a_lying_site_sends_is_refused() {
        let text = String::from_utf8(report().encode().unwrap()).unwrap();
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"mail\"", "\"\\u001b[2J\""),
            ("tcp/443", "tcp/443\\n"),
            ("tcp/443", "icmp/8"),
            ("pending-acceptance", "available forever"),
            ("}", ""),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(Report::decode(text.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
        let many = format!("\"keys\":[{}\"\"]", "\"\",".repeat(MOST));
        let own = text.split_once("\"keys\":[").unwrap().1.split_once(']').unwrap().0.to_owned();
        let long = text.replace(&format!("\"keys\":[{own}]"), &many);
        assert!(long != text && Report::decode(long.as_bytes()).is_none());
        assert_eq!(Report::decode(&vec![b' '; LONGEST + 1]), None);
    }
}
