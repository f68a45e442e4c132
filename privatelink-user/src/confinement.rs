//! Drops the privileges of a process that talks to strangers: it needs its sockets and CPU time,
//! nothing else.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use caps::CapSet;
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
    unistd::{Gid, Uid, User, chdir, geteuid, setgid, setgroups, setuid},
};

/// The uid and gid where the process's own user does not exist.
const NOBODY: u32 = 65_534;

/// Becomes `user` if this process is root's, and drops groups, capabilities and the ability to gain
/// privileges.
///
/// # Errors
/// When a privilege cannot be dropped.
pub fn confine(user: &str) -> Result<()> {
    chdir("/").context("cannot change to /")?;
    if geteuid().is_root() {
        let user = User::from_name(user).context("cannot read the user database")?;
        let (uid, gid) = match user {
            Some(user) => (user.uid, user.gid),
            None => (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)),
        };
        setgroups(&[]).context("cannot drop supplementary groups")?;
        setgid(gid).context("cannot set the group")?;
        // This also drops root's capabilities.
        setuid(uid).context("cannot set the user")?;
    }
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    drop_capabilities()?;
    // Other processes of the same user must not trace it, and no core dump must hold tenants'
    // queries.
    prctl::set_dumpable(false).context("cannot set the process undumpable")?;
    Ok(())
}

/// Forbids new threads and processes. Call it once all threads run.
///
/// # Errors
/// When the limit cannot be set.
pub fn seal() -> Result<()> {
    setrlimit(Resource::RLIMIT_NPROC, 0, 0).context("cannot limit the number of processes")
}

/// Drops the capabilities inherited from the daemon's unit. The unit's system call filter forbids
/// `capset`, but a program that is executed without ambient capabilities has none.
fn drop_capabilities() -> Result<()> {
    let held = |set| caps::read(None, set).context("cannot read the capabilities");
    if held(CapSet::Permitted)?.is_empty() {
        return Ok(());
    }
    if held(CapSet::Ambient)?.is_empty() {
        caps::clear(None, CapSet::Effective).context("cannot drop capabilities")?;
        return caps::clear(None, CapSet::Permitted).context("cannot drop capabilities");
    }
    caps::clear(None, CapSet::Ambient).context("cannot drop ambient capabilities")?;
    let mut anew = Command::new("/proc/self/exe");
    Err(anew.args(std::env::args_os().skip(1)).exec()).context("cannot execute the server again")
}
