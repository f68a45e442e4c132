//! Checks whether the owners of private names have confirmed the providers that claim them.
//!
//! The owner confirms a claim with a TXT record that names the provider. Answers are not trusted,
//! so they are parsed in this process, which has no privileges.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hickory_proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use log::debug;

use super::{answer::UDP_MOST, random::unpredictable};
use crate::dns::{channel::NOT_ASKED, record::NameClaim, sockets::PORT};

/// Timeout of a resolver.
const PATIENCE: Duration = Duration::from_secs(2);
/// Interval between checks of an unproven claim.
const SOON: Duration = Duration::from_secs(5);
/// Interval between checks of a proven claim.
const LATER: Duration = Duration::from_secs(3_600);
/// Maximum number of claims; names beyond it are neither checked nor served.
const MOST: usize = 10_000;

/// The verdict on every claim.
#[derive(Debug, Default)]
pub struct Proofs {
    claims: Mutex<BTreeMap<NameClaim, Verdict>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
struct Verdict {
    proven: bool,
    reason: String,
    due: Instant,
}

/// The result of one check.
enum CheckResult {
    /// The record exists.
    Proven,
    /// The resolver has no such record.
    Refuted(String),
    /// The resolver did not answer, so the last verdict stays.
    Unanswered(String),
}

impl Proofs {
    /// Starts the thread; it calls `changed` when a verdict has changed.
    pub fn start(self: &Arc<Self>, changed: impl Fn() + Send + 'static) -> Result<()> {
        let proofs = Arc::clone(self);
        let ask = move || proofs.run(&changed);
        thread::Builder::new()
            .name("dns-proofs".into())
            .spawn(ask)
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Checks these claims from now on, and no others.
    pub fn want(&self, claims: impl Iterator<Item = NameClaim>) {
        let mut known = self.lock();
        let new = || Verdict { proven: false, reason: NOT_ASKED.into(), due: Instant::now() };
        let wanted = claims.take(MOST).map(|claim| {
            let verdict = known.get(&claim).cloned().unwrap_or_else(new);
            (claim, verdict)
        });
        let wanted = wanted.collect();
        *known = wanted;
        self.changed.notify_all();
    }

    /// Whether a claim is proven.
    pub fn is_proven(&self, claim: &NameClaim) -> bool {
        self.lock().get(claim).is_some_and(|verdict| verdict.proven)
    }

    /// Unproven claims, each with the reason.
    pub fn unproven(&self) -> Vec<(NameClaim, String)> {
        let known = self.lock();
        let unproven = known.iter().filter(|(_, verdict)| !verdict.proven);
        unproven.map(|(claim, verdict)| (claim.clone(), verdict.reason.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NameClaim, Verdict>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, changed: &impl Fn()) {
        loop {
            let claim = self.next();
            let result =
                ask(&claim).unwrap_or_else(|error| CheckResult::Unanswered(error.to_string()));
            let mut known = self.lock();
            let Some(verdict) = known.get_mut(&claim) else { continue };
            let before = verdict.proven;
            match result {
                CheckResult::Proven => verdict.proven = true,
                CheckResult::Refuted(reason) => (verdict.proven, verdict.reason) = (false, reason),
                // A proven claim stays proven until its owner refutes it.
                CheckResult::Unanswered(reason) => verdict.reason = reason,
            }
            verdict.due = Instant::now() + if verdict.proven { LATER } else { SOON };
            let after = verdict.proven;
            drop(known);
            if before != after {
                // The daemon publishes it as an event, within its principal's budget.
                debug!("{claim}: {}", if after { "proven" } else { "no longer proven" });
                changed();
            }
        }
    }

    /// Waits until a claim is due.
    fn next(&self) -> NameClaim {
        let mut known = self.lock();
        loop {
            let now = Instant::now();
            let next = known.iter().min_by_key(|(_, verdict)| verdict.due);
            let wait = match next {
                Some((claim, verdict)) if verdict.due <= now => return claim.clone(),
                Some((_, verdict)) => verdict.due - now,
                None => LATER,
            };
            let woken = self.changed.wait_timeout(known, wait);
            known = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn ask(claim: &NameClaim) -> io::Result<CheckResult> {
    let name = Name::from_ascii(format!("{}.", claim.record_name())).map_err(io::Error::other)?;
    let mut query = Message::query();
    query.metadata.id = u16::from_ne_bytes(unpredictable());
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, RecordType::TXT));
    query.set_edns(Edns::new().set_max_payload(UDP_MOST).clone());
    let answer = exchange(claim.resolver, &query)?;
    let code = answer.metadata.response_code;
    if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        return Ok(CheckResult::Unanswered(format!("{} answered {code}", claim.resolver)));
    }
    let confirms = |data: &RData| {
        let RData::TXT(text) = data else { return false };
        text.txt_data.concat() == claim.text.as_bytes()
    };
    if answer.answers.iter().any(|record| confirms(&record.data)) {
        return Ok(CheckResult::Proven);
    }
    Ok(CheckResult::Refuted("there is no such record".into()))
}

fn exchange(resolver: IpAddr, query: &Message) -> io::Result<Message> {
    let any: IpAddr = match resolver {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(resolver, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&query.to_vec().map_err(io::Error::other)?)?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 4_096];
    while Instant::now() < deadline {
        let length = socket.recv(&mut buffer)?;
        let answer = Message::from_vec(buffer.get(..length).unwrap_or_default());
        if let Ok(answer) = answer
            && answer.metadata.message_type == MessageType::Response
            && answer.metadata.id == query.metadata.id
            && answer.queries == query.queries
        {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
