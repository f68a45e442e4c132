//! Whether the owners of private names agree that a provider serves them.
//!
//! Who claims a name shows in the public DNS that it is theirs: a TXT record that names the
//! provider. Answers come from whoever owns the name, so they are read here, where nothing is lost.

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
use log::info;

use super::{answer::UDP_MOST, random::unpredictable};
use crate::dns::{channel::NOT_ASKED, record::NameClaim, sockets::PORT};

/// How long a resolver has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a name is asked about that is not proven yet.
const SOON: Duration = Duration::from_secs(5);
/// How often a name is asked about that is proven.
const LATER: Duration = Duration::from_secs(3_600);
/// More names than this are not asked about, and so not served.
const MOST: usize = 10_000;

/// What is known of every claim.
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

/// What a resolver says.
enum Said {
    Proven,
    Otherwise(String),
    Nothing(String),
}

impl Proofs {
    /// Starts to ask; `changed` is called when a verdict has changed.
    pub fn start(self: &Arc<Self>, changed: impl Fn() + Send + 'static) -> Result<()> {
        let proofs = Arc::clone(self);
        let ask = move || proofs.run(&changed);
        thread::Builder::new()
            .name("dns-proofs".into())
            .spawn(ask)
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Has these asked about, and no others.
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

    /// Whether its owner agrees to a claim.
    pub fn is_proven(&self, claim: &NameClaim) -> bool {
        self.lock().get(claim).is_some_and(|verdict| verdict.proven)
    }

    /// The claims that are not proven, and why.
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
            let said = ask(&claim).unwrap_or_else(|error| Said::Nothing(error.to_string()));
            let mut known = self.lock();
            let Some(verdict) = known.get_mut(&claim) else { continue };
            let before = verdict.proven;
            match said {
                Said::Proven => verdict.proven = true,
                Said::Otherwise(reason) => (verdict.proven, verdict.reason) = (false, reason),
                // What was proven is so until its owner says otherwise.
                Said::Nothing(reason) => verdict.reason = reason,
            }
            verdict.due = Instant::now() + if verdict.proven { LATER } else { SOON };
            let after = verdict.proven;
            drop(known);
            if before != after {
                info!("{claim}: {}", if after { "proven" } else { "no longer proven" });
                changed();
            }
        }
    }

    /// Waits until a claim is to be asked about.
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

fn ask(claim: &NameClaim) -> io::Result<Said> {
    let name = Name::from_ascii(format!("{}.", claim.record_name())).map_err(io::Error::other)?;
    let mut query = Message::query();
    query.metadata.id = u16::from_ne_bytes(unpredictable());
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, RecordType::TXT));
    query.set_edns(Edns::new().set_max_payload(UDP_MOST).clone());
    let answer = exchange(claim.resolver, &query)?;
    let code = answer.metadata.response_code;
    if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        return Ok(Said::Nothing(format!("{} answers {code}", claim.resolver)));
    }
    let says = |data: &RData| {
        let RData::TXT(text) = data else { return false };
        text.txt_data.concat() == claim.text.as_bytes()
    };
    if answer.answers.iter().any(|record| says(&record.data)) {
        return Ok(Said::Proven);
    }
    Ok(Said::Otherwise("there is no such record".into()))
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
