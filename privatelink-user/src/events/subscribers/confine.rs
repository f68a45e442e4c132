//! Drops privileges in the hook's process before it executes the hook.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, id},
};

use anyhow::{Context as _, Result, ensure};
use caps::CapSet;
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Uid, User, chdir, geteuid, initgroups, setgid, setuid},
};

use super::hook::PATIENCE;
use crate::model::Subscriptions;

/// The user that hooks run as unless the configuration names another, where the daemon is root.
const USER: &str = Subscriptions::DEFAULT_HOOK_USER;

/// Resource limits of a hook.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::RLIMIT_AS, 512 << 20),
    (Resource::RLIMIT_CPU, PATIENCE.as_secs()),
    (Resource::RLIMIT_FSIZE, 16 << 20),
    (Resource::RLIMIT_NOFILE, 256),
    (Resource::RLIMIT_CORE, 0),
];

/// Executes a hook without privileges and, if this process is root's, as `user`.
///
/// # Errors
/// When a privilege cannot be dropped or the program cannot be executed.
pub fn run(program: &Path, user: Option<&str>) -> Result<()> {
    chdir("/").context("cannot change to /")?;
    for (resource, most) in LIMITS {
        setrlimit(resource, most, most).context("cannot set a resource limit")?;
    }
    become_user(user)?;
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    // `exec` under no_new_privs drops all other capabilities.
    if !caps::read(None, CapSet::Ambient).context("cannot read the capabilities")?.is_empty() {
        caps::clear(None, CapSet::Ambient).context("cannot drop ambient capabilities")?;
    }
    // Without the daemon no process would end the hook after its timeout.
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot set the parent death signal")?;
    Err(Command::new(program).exec())
        .with_context(|| format!("cannot start {} as process {}", program.display(), id()))
}

fn become_user(name: Option<&str>) -> Result<()> {
    if !geteuid().is_root() {
        let own = User::from_uid(geteuid()).ok().flatten();
        let same = name.is_none_or(|name| own.is_some_and(|own| own.name == name));
        ensure!(same, "`hook_user` needs a daemon that runs as root");
        return Ok(());
    }
    let name = name.unwrap_or(USER);
    let found = User::from_name(name).context("cannot read the user database")?;
    let found = found.with_context(|| format!("user `{name}` does not exist"))?;
    ensure!(
        found.uid != Uid::from_raw(0),
        "hooks cannot run as root: set `hook_user` to another user"
    );
    let user = std::ffi::CString::new(name).context("invalid user name")?;
    initgroups(&user, found.gid).context("cannot set the groups")?;
    setgid(found.gid).context("cannot set the group")?;
    // This also drops root's capabilities.
    setuid(found.uid).context("cannot set the user")
}
