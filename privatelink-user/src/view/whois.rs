//! Who stands behind a source address and port, now and in the past.

use std::{
    fs::File,
    io::{self, BufReader},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use privatelink_common::flow::Flow;

use crate::{
    access::Rights,
    datapath::flow_records::FlowRecords,
    flow_log::{self, Clock, IndexNames, Record},
    interface::types::Whois,
    timestamp::Timestamp,
};

/// The most flows in one answer.
const MOST: usize = 1_000;
/// Milliseconds. Two records of one flow disagree by less than this about when it began, and two
/// flows with the same ports begin further apart.
const SAME: u64 = 1_000;

/// The time that a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The present: flows that are live.
    Now,
    /// A time in the past: a moment, or the whole second that was named.
    Between(Timestamp, Timestamp),
    /// Any time from a moment on.
    Since(Timestamp),
}

impl When {
    fn meets(self, opened: Timestamp, last: Timestamp) -> bool {
        match self {
            Self::Now => false,
            Self::Between(from, to) => opened <= to && from <= last,
            Self::Since(since) => since <= last,
        }
    }

    fn meets_live(self, opened: Timestamp) -> bool {
        match self {
            Self::Now | Self::Since(_) => true,
            Self::Between(_, to) => opened <= to,
        }
    }
}

/// Which flows are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// Those from this source address and port.
    pub source: SocketAddr,
    /// Those in this network of a provider.
    pub network: Option<String>,
    /// Those to this target.
    pub target: Option<SocketAddr>,
    /// Those that were there at this time.
    pub when: When,
}

/// A search for the clients behind a source address, with everything that it needs: it runs
/// besides the daemon's loop.
#[derive(Clone, Debug)]
pub struct WhoisLookup {
    /// Which flows are looked for.
    pub criteria: Criteria,
    /// What the caller may see: a provider sees the flows to its own services.
    pub rights: Rights,
    /// The records that the indices in a flow name.
    pub parts: FlowRecords,
    /// The names of these records.
    pub names: Arc<IndexNames>,
    /// The present, for flows that are live.
    pub clock: Clock,
    /// The files of the flow log, the oldest first.
    pub log: Vec<PathBuf>,
}

impl WhoisLookup {
    /// The files of a log that keeps so many besides the one that it writes, the oldest first.
    pub fn files(path: &std::path::Path, kept: u32) -> Vec<PathBuf> {
        (0..=kept).rev().map(|age| flow_log::file(path, age)).collect()
    }

    /// Finds the flows, the earliest first.
    ///
    /// # Errors
    /// When the flow log cannot be read.
    pub fn run(&self, slots: impl Iterator<Item = Flow>) -> io::Result<Vec<Whois>> {
        let mut found = Vec::new();
        if self.criteria.when != When::Now {
            for path in &self.log {
                match File::open(path) {
                    Ok(file) => self.read(BufReader::new(file), &mut found)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let error = format!("cannot read {}: {error}", path.display());
                        return Err(io::Error::other(error));
                    }
                }
            }
        }
        let port = self.criteria.source.port();
        for slot in slots.filter(|slot| !slot.is_reverse() && slot.provider_port_pair()[1] == port)
        {
            let record = flow_log::of_live(&slot, &self.parts, &self.names, &self.clock);
            let record = record.filter(|record| self.criteria.when.meets_live(record.opened));
            if let Some(record) = record.filter(|record| self.is_meant(record)) {
                enter(&mut found, &record, true);
            }
        }
        found.sort_by(|a, b| a.1.opened.cmp(&b.1.opened));
        Ok(found.into_iter().map(|(_, whois)| whois).take(MOST).collect())
    }

    fn read(&self, file: impl io::BufRead, found: &mut Matches) -> io::Result<()> {
        // Most lines are about other flows: looking for the text is cheaper than parsing each.
        let source = format!("\"source\":\"{}\"", self.criteria.source);
        for line in file.lines() {
            let line = line?;
            if !line.contains(&source) || found.len() >= MOST {
                continue;
            }
            let Ok(record) = serde_json::from_str::<Record<'_>>(&line) else { continue };
            if self.is_meant(&record) && self.criteria.when.meets(record.opened, record.end) {
                enter(found, &record, false);
            }
        }
        Ok(())
    }

    fn is_meant(&self, record: &Record<'_>) -> bool {
        let Criteria { source, network, target, .. } = &self.criteria;
        let is_visible = match &self.rights {
            Rights::All => true,
            Rights::Of(names) => names.iter().any(|name| name.as_str() == record.provider),
        };
        is_visible
            && record.source == Some(*source)
            && target.is_none_or(|target| record.target == Some(target))
            && network.as_ref().is_none_or(|network| *network == record.provider_network)
    }
}

/// When each flow began, in milliseconds, and what the answer says of it.
type Matches = Vec<(u64, Whois)>;

/// Adds a flow, or what another record says about one that is there.
fn enter(found: &mut Matches, record: &Record<'_>, live: bool) {
    let (opened, last) = (record.opened.millis(), record.end.to_string());
    let target = record.target.map(|target| target.to_string()).unwrap_or_default();
    let (client, source) = (record.client.to_string(), record.source.map(|one| one.to_string()));
    let known = found.iter_mut().find(|(known, whois)| {
        known.abs_diff(opened) < SAME
            && (&whois.client, &whois.target) == (&client, &target)
            && whois.protocol == record.protocol
    });
    if let Some((_, known)) = known {
        known.last = known.last.clone().max(last);
        known.live |= live;
        return;
    }
    let whois = Whois {
        endpoint: record.endpoint.to_string(),
        network: record.network.to_string(),
        principal: record.principal.to_string(),
        client,
        service: record.service.to_string(),
        target,
        source: source.unwrap_or_default(),
        provider_network: record.provider_network.to_string(),
        address: record.address.to_string(),
        protocol: record.protocol.to_string(),
        opened: record.opened.to_string(),
        last,
        live,
    };
    found.push((opened, whois));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a flow from `client`, between two seconds of 1970.
    fn line(client: &str, provider: &str, seconds: [u64; 2]) -> String {
        let [opened, end] =
            seconds.map(|seconds| Timestamp::from_millis(seconds * 1_000).to_string());
        format!(
            r#"{{"kind":"end","verdict":"accept","reason":"closed","endpoint":"acme-web","service":"web","network":"acme","principal":"acme","provider":"{provider}","provider_network":"{provider}","protocol":"tcp","client":"{client}","address":"10.1.0.50:80","source":"10.0.0.240:1024","target":"10.0.0.10:8080","packets_in":5,"bytes_in":500,"packets_out":4,"bytes_out":4000,"tcp_flags_in":3,"tcp_flags_out":19,"opened":"{opened}","start":"{opened}","end":"{end}"}}"#
        ) + "\n"
    }

    #[test]
    fn the_log_answers_for_the_past_and_to_the_provider_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.log");
        let old = line("10.1.0.2:1", "vendor", [10, 20]);
        let new = line("10.1.0.2:2", "vendor", [30, 40])
            // Another record of the same flow, another provider, and half a line.
            + &line("10.1.0.2:2", "vendor", [30, 60])
            + &line("10.9.0.2:3", "other", [30, 40])
            + "{\"source\":\"10.0.0.240:1024\",\"ki";
        std::fs::write(flow_log::file(&path, 1), old).unwrap();
        std::fs::write(&path, new).unwrap();
        let find = |when, rights, network: Option<&str>| {
            let lookup = WhoisLookup {
                criteria: Criteria {
                    source: "10.0.0.240:1024".parse().unwrap(),
                    network: network.map(ToOwned::to_owned),
                    target: None,
                    when,
                },
                rights,
                parts: FlowRecords::default(),
                names: Arc::default(),
                clock: Clock { ticks: 0, now: Timestamp::from_millis(0) },
                log: WhoisLookup::files(&path, 3),
            };
            let found = lookup.run(std::iter::empty()).unwrap();
            found.into_iter().map(|one| one.client).collect::<Vec<_>>()
        };
        let moment = |millis| Timestamp::from_millis(millis);
        let at = |seconds: u64| When::Between(moment(seconds * 1_000), moment(seconds * 1_000));
        let of = |name: &str| Rights::Of([name.parse().unwrap()].into());
        assert_eq!(find(at(15), Rights::All, None), ["10.1.0.2:1"]);
        assert_eq!(find(at(25), Rights::All, None), [""; 0]);
        assert_eq!(find(at(35), Rights::All, None), ["10.1.0.2:2", "10.9.0.2:3"]);
        assert_eq!(find(at(35), Rights::All, Some("other")), ["10.9.0.2:3"]);
        assert_eq!(find(at(35), of("vendor"), None), ["10.1.0.2:2"]);
        assert_eq!(find(at(55), of("vendor"), None), ["10.1.0.2:2"]);
        assert_eq!(find(at(35), of("acme"), None), [""; 0]);
        // Of a second that is named as such, every moment counts.
        let whole = When::Between(moment(60_000), moment(60_999));
        assert_eq!(find(whole, of("vendor"), None), ["10.1.0.2:2"]);
        let since = When::Since(Timestamp::from_millis(18_000));
        assert_eq!(find(since, of("vendor"), None), ["10.1.0.2:1", "10.1.0.2:2"]);
        assert_eq!(find(When::Now, Rights::All, None), [""; 0]);
    }
}
