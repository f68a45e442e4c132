//! The hook's own process, before it becomes the hook: gives up what a hook does not need.

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

/// The user that hooks run as unless the configuration names another, where the daemon is root.
const USER: &str = "nobody";

/// What a hook may take.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::RLIMIT_AS, 512 << 20),
    (Resource::RLIMIT_CPU, PATIENCE.as_secs()),
    (Resource::RLIMIT_FSIZE, 16 << 20),
    (Resource::RLIMIT_NOFILE, 256),
    (Resource::RLIMIT_CORE, 0),
];

/// Becomes a hook: a program without rights that runs as a user, if this process is root's.
///
/// # Errors
/// When something cannot be given up, or there is no such program.
pub fn run(program: &Path, user: Option<&str>) -> Result<()> {
    chdir("/").context("cannot leave the directory")?;
    for (resource, most) in LIMITS {
        setrlimit(resource, most, most).context("cannot limit what it takes")?;
    }
    become_user(user)?;
    prctl::set_no_new_privs().context("cannot give up gaining rights")?;
    // Everything else goes with the start of another program.
    if !caps::read(None, CapSet::Ambient).context("cannot read the capabilities")?.is_empty() {
        caps::clear(None, CapSet::Ambient).context("cannot give up ambient capabilities")?;
    }
    // Without the daemon nobody would end it in time.
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot be bound to the daemon")?;
    Err(Command::new(program).exec())
        .with_context(|| format!("cannot start {} as process {}", program.display(), id()))
}

fn become_user(name: Option<&str>) -> Result<()> {
    if !geteuid().is_root() {
        let own = User::from_uid(geteuid()).ok().flatten();
        let same = name.is_none_or(|name| own.is_some_and(|own| own.name == name));
        ensure!(same, "`hook_user` can only be followed by a daemon that runs as root");
        return Ok(());
    }
    let name = name.unwrap_or(USER);
    let found = User::from_name(name).context("cannot read the users of this host")?;
    let found = found.with_context(|| format!("there is no unix user `{name}`"))?;
    ensure!(found.uid != Uid::from_raw(0), "a hook does not run as root: change `hook_user`");
    let user = std::ffi::CString::new(name).context("the name of the user")?;
    initgroups(&user, found.gid).context("cannot change the groups")?;
    setgid(found.gid).context("cannot change the group")?;
    // What root may do goes with it.
    setuid(found.uid).context("cannot change the user")
}
