//! Giving up what the server does not need: everything but its sockets and the processor.

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

/// The user that the packages make for the server.
const USER: &str = "privatelink-dns";
/// Who it is where there is no such user.
const NOBODY: u32 = 65_534;

/// Becomes somebody who may do nothing.
///
/// # Errors
/// When something cannot be given up.
pub fn confine() -> Result<()> {
    chdir("/").context("cannot leave the directory")?;
    if geteuid().is_root() {
        let user = User::from_name(USER).context("cannot read the users of this host")?;
        let (uid, gid) = match user {
            Some(user) => (user.uid, user.gid),
            None => (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)),
        };
        setgroups(&[]).context("cannot leave the groups")?;
        setgid(gid).context("cannot change the group")?;
        // What root may do goes with it.
        setuid(uid).context("cannot change the user")?;
    }
    prctl::set_no_new_privs().context("cannot give up gaining rights")?;
    drop_capabilities()?;
    // Nobody else of the same user may look into it, and no core dump shows what tenants asked.
    prctl::set_dumpable(false).context("cannot hide from others")?;
    Ok(())
}

/// Gives up starting anything, once all threads are there.
///
/// # Errors
/// When that cannot be given up.
pub fn seal() -> Result<()> {
    setrlimit(Resource::RLIMIT_NPROC, 0, 0).context("cannot give up starting processes")
}

/// Gives up what the daemon has as a service. The filter of its unit forbids to change
/// capabilities, but a program that is started anew without ambient ones has none.
fn drop_capabilities() -> Result<()> {
    let held = |set| caps::read(None, set).context("cannot read the capabilities");
    if held(CapSet::Permitted)?.is_empty() {
        return Ok(());
    }
    if held(CapSet::Ambient)?.is_empty() {
        caps::clear(None, CapSet::Effective).context("cannot give up capabilities")?;
        return caps::clear(None, CapSet::Permitted).context("cannot give up capabilities");
    }
    caps::clear(None, CapSet::Ambient).context("cannot give up ambient capabilities")?;
    let mut anew = Command::new("/proc/self/exe");
    Err(anew.args(std::env::args_os().skip(1)).exec()).context("cannot start anew")
}
