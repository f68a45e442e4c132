//! The part of a page that is about the name server.

use super::{
    family,
    text::{Page, labels},
};
use crate::dns::account::{Account, CODES, Count, Tally};

/// Adds what the name server counts, if there are names to serve.
pub(super) fn add(page: &mut Page, account: Option<&Account>) {
    let Some(Account { up, conflicts, networks }) = account else { return };
    page.family(&family::DNS_UP).add(&[], u8::from(*up));
    page.family(&family::DNS_CONFLICTS).add(&[], conflicts);
    let networks: Vec<(String, &Tally)> =
        networks.iter().map(|(name, tally)| (labels(&[("network", name)]), tally)).collect();
    let mut tables = page.family(&family::DNS_TABLES);
    for (network, tally) in &networks {
        tables.add(&[network], tally.tables);
    }
    let counts: Vec<(String, &Count)> =
        networks.iter().flat_map(|(network, tally)| by_transport(network, tally)).collect();
    let mut queries = page.family(&family::DNS_QUERIES);
    for (labels, count) in &counts {
        queries.add(&[labels], count.queries);
    }
    let mut answers = page.family(&family::DNS_ANSWERS);
    for (of, count) in &counts {
        for (code, answered) in CODES.iter().zip(count.answers) {
            answers.add(&[of, &labels(&[("code", code)])], answered);
        }
    }
    let mut limited = page.family(&family::DNS_LIMITED);
    for (labels, count) in &counts {
        limited.add(&[labels, "result=\"truncated\""], count.truncated);
        limited.add(&[labels, "result=\"dropped\""], count.limited);
    }
    let mut ignored = page.family(&family::DNS_IGNORED);
    for (labels, count) in &counts {
        ignored.add(&[labels], count.ignored);
    }
    let mut forwarded = page.family(&family::DNS_FORWARDED);
    for (network, tally) in &networks {
        forwarded.add(&[network, "result=\"answered\""], tally.forwarded);
        forwarded.add(&[network, "result=\"failed\""], tally.failed);
    }
}

fn by_transport<'a>(network: &str, tally: &'a Tally) -> [(String, &'a Count); 2] {
    [("udp", &tally.udp), ("tcp", &tally.tcp)]
        .map(|(name, count)| (format!("{network},transport=\"{name}\""), count))
}
