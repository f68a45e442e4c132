//! Who a request comes from. [`Client`](super::client::Client) cannot be had without it.

use axum::{extract::FromRequestParts, http::request::Parts};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::{net::unix::UCred, sync::Semaphore};

use super::refusal::Refusal;
use crate::{
    access::{Identity, Peer},
    model::Model,
};

/// Users that are looked up at a time: each takes a thread, and a thread takes memory.
static LOOKUPS: Semaphore = Semaphore::const_new(4);

/// Who opened a connection to the socket, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials {
    uid: u32,
    gid: u32,
}

impl From<UCred> for Credentials {
    fn from(credentials: UCred) -> Self {
        Self { uid: credentials.uid(), gid: credentials.gid() }
    }
}

impl Credentials {
    /// Whether it is root, or the daemon's own user.
    pub fn is_owner(self) -> bool {
        [0, nix::unistd::geteuid().as_raw()].contains(&self.uid)
    }

    /// The user's number.
    pub fn uid(self) -> u32 {
        self.uid
    }

    /// Looks the user and its groups up on a thread that may wait for the user database; `None`
    /// while the daemon ends.
    pub async fn peer(self) -> Option<Peer> {
        let _turn = LOOKUPS.acquire().await.ok()?;
        tokio::task::spawn_blocking(move || self.look_up()).await.ok()
    }

    /// Looks the user and its groups up. The user database may be on another host, so this blocks.
    fn look_up(self) -> Peer {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        let mut gids = vec![Gid::from_raw(self.gid)];
        if let Some(user) = &user
            && let Ok(name) = std::ffi::CString::new(user.name.as_bytes())
        {
            // The groups of the user, not those of the process: a user who leaves a group loses
            // its rights with the next request.
            gids.extend(getgrouplist(&name, user.gid).unwrap_or_default());
        }
        gids.sort_unstable_by_key(|gid| gid.as_raw());
        gids.dedup();
        let named = |gid: Gid| {
            let group = Group::from_gid(gid).ok().flatten();
            (gid.as_raw(), group.map(|group| group.name))
        };
        Peer {
            uid: self.uid,
            user: user.map(|user| user.name),
            groups: gids.into_iter().map(named).collect(),
        }
    }
}

/// Who asks was found out when the request was admitted.
impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::unidentified)
    }
}

/// The unix users and groups of a configuration that this host does not have.
pub(crate) fn missing_members(model: &Model) -> Vec<String> {
    let mut missing = Vec::new();
    for principal in model.principals().values() {
        let name = &principal.name;
        let absent = |user: &&String| matches!(User::from_name(user), Ok(None));
        let users = principal.users.iter().filter(absent);
        missing.extend(users.map(|user| format!("principal {name}: no unix user `{user}` here")));
        let absent = |group: &&String| matches!(Group::from_name(group), Ok(None));
        let groups = principal.groups.iter().filter(absent);
        missing
            .extend(groups.map(|group| format!("principal {name}: no unix group `{group}` here")));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        let root = Credentials { uid: 0, gid: 0 }.look_up();
        assert_eq!(root.user.as_deref(), Some("root"));
        assert!(root.groups.contains(&(0, Some("root".into()))), "{root:?}");
        let nobody = Credentials { uid: 4_000_000_001, gid: 4_000_000_002 }.look_up();
        assert_eq!(nobody.user, None);
        assert_eq!(nobody.groups, [(4_000_000_002, None)]);
    }
}
