//! How much of the server each user may occupy, so that no user keeps another out.
//!
//! Root and the daemon's own user wait for a place; all others have a share each, and a connection
//! beyond it is closed at once. Users without rights share a few places, whatever number of user
//! identities one of them commands.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::unix::UCred,
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch},
};

use super::{
    front::{authorities::Authorities, channel::RemoteConnection, prefix},
    peer::Credentials,
    remote::Remote,
    wrong_keys::WrongKeys,
};
use crate::{access::Register, audit::Audit, state::keys::KeyId};

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections of root and of the daemon's own user; more wait until one of them ends.
    pub of_owners: usize,
    /// Connections of all others together, and of all callers on other hosts; more are closed.
    pub of_others: usize,
    /// Connections of each of the others; more are closed.
    pub of_one: usize,
    /// Connections of all users without rights together; more are closed.
    pub of_strangers: usize,
    /// Connections and requests of each of the others in a second, and at once.
    pub rate: u32,
}

impl Limits {
    /// The limits of a daemon in use.
    pub const DEFAULT: Self =
        Self { of_owners: 64, of_others: 256, of_one: 16, of_strangers: 32, rate: 200 };
}

/// Requests of one user that are worked on at a time; more wait, so that the requests of a busy user
/// do not queue before those of another.
const TURNS: usize = 2;

/// Users whose rates are remembered, at least.
const REMEMBERED: usize = 1_024;

/// Keeps connections within limits. Clones share them.
#[derive(Clone)]
pub(super) struct Doorkeeper {
    limits: Limits,
    register: watch::Receiver<Register>,
    owners: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    others: Arc<Mutex<Others>>,
    /// Callers on other hosts: they take no room of this host's users.
    remotes: Arc<Mutex<Others>>,
    wrong: Arc<Mutex<WrongKeys>>,
    audit: Audit,
}

/// Whose share it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// A user of this host.
    User(u32),
    /// Everybody at an address.
    Address(IpAddr),
    /// The holder of a key.
    Key(KeyId),
}

/// The users who are neither root nor the daemon's own.
#[derive(Default)]
struct Others {
    connections: usize,
    /// With how many connections each has.
    users: BTreeMap<Who, (Visitor, usize)>,
}

/// A user who is neither root nor the daemon's own.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    budget: Arc<Mutex<Budget>>,
    turns: Arc<Semaphore>,
}

/// What a user may still do now.
#[derive(Debug)]
struct Budget {
    left: Duration,
    at: Instant,
    /// What one connection or request costs: the time in which it is earned.
    cost: Duration,
}

/// The most that a budget holds, in time in which it is earned.
const SAVED: Duration = Duration::from_secs(1);

/// A connection that counts.
pub(super) struct Visit {
    credentials: Option<Credentials>,
    remote: Option<Remote>,
    counted: Option<Counted>,
}

/// Keeps a connection of one of the others counted.
struct Counted {
    who: Who,
    visitor: Visitor,
    others: Arc<Mutex<Others>>,
}

impl Doorkeeper {
    /// Lets in users by what the register says when they come.
    pub fn new(limits: Limits, register: watch::Receiver<Register>, audit: Audit) -> Self {
        Self {
            limits,
            register,
            owners: Arc::new(Semaphore::new(limits.of_owners)),
            strangers: Arc::new(Semaphore::new(limits.of_strangers)),
            others: Arc::default(),
            remotes: Arc::default(),
            wrong: Arc::default(),
            audit,
        }
    }

    /// Where refused requests are recorded.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Who has rights.
    pub fn register(&self) -> watch::Receiver<Register> {
        self.register.clone()
    }

    /// Notes a new connection; `None` if it is one too many of its user.
    pub fn note(&self, credentials: Option<UCred>) -> Option<Visit> {
        let credentials = credentials.map(Credentials::from);
        if credentials.is_some_and(Credentials::is_owner) {
            return Some(Visit { credentials, remote: None, counted: None });
        }
        // A client that the kernel does not identify is like a user of its own.
        let uid = credentials.map_or(u32::MAX, Credentials::uid);
        let counted = self.count(&self.others, Who::User(uid))?;
        Some(Visit { credentials, remote: None, counted: Some(counted) })
    }

    /// [`Self::note`] for a connection from another host.
    pub fn note_remote(
        &self,
        connection: &RemoteConnection,
        authorities: &watch::Receiver<Authorities>,
    ) -> Option<Visit> {
        let remote = Remote::of(connection, authorities);
        let counted = self.count(&self.remotes, Who::Address(prefix(remote.address())))?;
        Some(Visit { credentials: None, remote: Some(remote), counted: Some(counted) })
    }

    fn count(&self, others: &Arc<Mutex<Others>>, who: Who) -> Option<Counted> {
        let visitor = locked(others).count(&who, &self.limits)?;
        Some(Counted { who, visitor, others: Arc::clone(others) })
    }

    /// The holder of a key, who has a share besides that of the address.
    pub fn holder(&self, id: &KeyId) -> Visitor {
        locked(&self.remotes).visitor(&Who::Key(id.clone()), &self.limits)
    }

    /// Waits, because a caller at this address has brought a wrong key.
    pub async fn slow_down(&self, address: IpAddr) {
        let wait = locked(&self.wrong).note(address, Instant::now());
        tokio::time::sleep(wait).await;
    }

    /// Waits for the place of a connection; `None` if there is none for it, or the server ends.
    pub async fn place(&self, visit: &Visit) -> Option<Option<OwnedSemaphorePermit>> {
        if visit.counted.is_none() {
            return Arc::clone(&self.owners).acquire_owned().await.ok().map(Some);
        }
        if visit.remote.is_some() {
            return Some(None);
        }
        let peer = visit.credentials?.peer().await?;
        let has_rights = self.register.borrow().user(&peer).is_ok();
        if has_rights {
            return Some(None);
        }
        Arc::clone(&self.strangers).try_acquire_owned().ok().map(Some)
    }

    /// Sends those away who still wait.
    pub fn close(&self) {
        self.owners.close();
    }
}

impl Others {
    /// The entry of one; those without connections are forgotten where there are too many.
    fn entry(&mut self, who: &Who, limits: &Limits) -> &mut (Visitor, usize) {
        if self.users.len() >= REMEMBERED && !self.users.contains_key(who) {
            self.users.retain(|_, (visitor, connections)| *connections != 0 || visitor.is_busy());
        }
        self.users.entry(who.clone()).or_insert_with(|| (Visitor::new(limits.rate), 0))
    }

    fn visitor(&mut self, who: &Who, limits: &Limits) -> Visitor {
        self.entry(who, limits).0.clone()
    }

    fn count(&mut self, who: &Who, limits: &Limits) -> Option<Visitor> {
        let full = self.connections >= limits.of_others;
        let user = self.entry(who, limits);
        let (visitor, connections) = user;
        let full = full || *connections >= limits.of_one;
        // Attempts count as well, so that a user who hammers at the door stays outside.
        if !visitor.may_ask() || full {
            return None;
        }
        *connections += 1;
        let visitor = visitor.clone();
        self.connections += 1;
        Some(visitor)
    }
}

impl Visitor {
    fn new(rate: u32) -> Self {
        let cost = SAVED.checked_div(rate).unwrap_or(SAVED);
        let budget = Budget { left: SAVED, at: Instant::now(), cost };
        Self { budget: Arc::new(Mutex::new(budget)), turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// Whether the user may connect or ask once more now.
    pub fn may_ask(&self) -> bool {
        locked(&self.budget).spend(Instant::now())
    }

    /// Whether a request of the user is being worked on.
    fn is_busy(&self) -> bool {
        self.turns.available_permits() < TURNS
    }

    /// Waits until few enough of the user's other requests are worked on.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at);
        self.left = self.left.saturating_add(earned).min(SAVED);
        self.at = now;
        let rest = self.left.checked_sub(self.cost);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

impl Visit {
    /// Who connected, if the kernel says.
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// The user, if it is neither root nor the daemon's own.
    pub fn visitor(&self) -> Option<Visitor> {
        self.counted.as_ref().map(|counted| counted.visitor.clone())
    }

    /// The caller, if it is on another host.
    pub fn remote(&self) -> Option<Remote> {
        self.remote.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut others = locked(&self.others);
        others.connections = others.connections.saturating_sub(1);
        if let Some((_, connections)) = others.users.get_mut(&self.who) {
            *connections = connections.saturating_sub(1);
        }
    }
}

/// What another thread left behind when it panicked is still a count.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { of_owners: 1, of_others: 3, of_one: 2, of_strangers: 1, rate: 100 };

    #[test]
    fn each_user_has_a_share_and_all_have_one_together() {
        let mut others = Others::default();
        for (uid, let_in) in [(1, true), (1, true), (1, false), (2, true), (2, false), (3, false)] {
            assert_eq!(others.count(&Who::User(uid), &LIMITS).is_some(), let_in, "{uid}");
        }
    }

    #[test]
    fn a_connection_that_ends_gives_its_place_back() {
        let others: Arc<Mutex<Others>> = Arc::default();
        for _ in 0..20 {
            let visitor = locked(&others).count(&Who::User(1), &LIMITS).unwrap();
            drop(Counted { who: Who::User(1), visitor, others: Arc::clone(&others) });
        }
        assert_eq!(locked(&others).connections, 0);
    }

    #[test]
    fn requests_are_earned_with_time() {
        let begin = Instant::now();
        let mut budget = Budget { left: SAVED, at: begin, cost: SAVED / 100 };
        let spent = (0..1_000).filter(|_| budget.spend(begin)).count();
        assert_eq!(spent, 100);
        let later = begin + Duration::from_millis(55);
        let spent = (0..1_000).filter(|_| budget.spend(later)).count();
        assert_eq!(spent, 5);
    }

    #[test]
    fn users_who_are_gone_are_forgotten() {
        let mut others = Others::default();
        let limits = Limits { of_others: usize::MAX, ..LIMITS };
        others.count(&Who::User(0), &limits).unwrap();
        for uid in 1..100_000 {
            if others.count(&Who::User(uid), &limits).is_some() {
                others.users.get_mut(&Who::User(uid)).unwrap().1 = 0;
            }
            assert!(others.users.len() <= REMEMBERED);
        }
        assert!(others.users.contains_key(&Who::User(0)), "one who is still there");
    }
}
