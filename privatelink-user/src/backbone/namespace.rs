//! The transport namespace: made below `/run/netns`, where it outlives the daemon.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use super::Error;
use crate::model::Namespace;

/// Where `ip netns` has them.
const DIRECTORY: &str = "/run/netns";
/// The network namespace of the thread that opens it.
const OWN: &str = "/proc/thread-self/ns/net";

/// The network namespace that this thread has come from, and the one that it is in.
#[derive(Debug)]
pub(super) struct Entered {
    outside: File,
    inside: File,
}

impl Entered {
    /// Moves this thread into the namespace, which is made if it is not there.
    pub fn enter(name: &Namespace) -> Result<Self, Error> {
        let failed = |what| move |source| Error::Namespace { what, name: name.clone(), source };
        let outside = File::open(OWN).map_err(failed("leave"))?;
        let path = path(name);
        // A file there that is no namespace was left by a host that crashed: it is in the way.
        let found = File::open(&path).and_then(|file| Ok(setns(&file, CloneFlags::CLONE_NEWNET)?));
        if found.is_err() {
            make(&path).map_err(failed("make"))?;
        }
        let inside = File::open(OWN).map_err(failed("enter"))?;
        Ok(Self { outside, inside })
    }

    /// The namespace that this thread is in.
    pub fn inside(&self) -> &File {
        &self.inside
    }

    /// Runs a program in the namespace that this thread has come from. What it leaves running must
    /// hold none of this process's files open.
    pub fn run_outside(&self, mut command: Command) -> io::Result<ExitStatus> {
        let outside = self.outside.try_clone()?;
        let worker = thread::Builder::new().name("transport-run".into()).spawn(move || {
            setns(&outside, CloneFlags::CLONE_NEWNET)?;
            let null = || Stdio::null();
            command.stdin(null()).stdout(null()).stderr(null()).status()
        })?;
        worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread has panicked")))
    }

    /// Moves this thread back. What is in the namespace stays.
    pub fn leave(self) -> io::Result<()> {
        Ok(setns(&self.outside, CloneFlags::CLONE_NEWNET)?)
    }
}

/// Removes the namespace, and with it every interface that is in it.
pub(super) fn remove(name: &Namespace) -> Result<(), Error> {
    let failed = |source| Error::Namespace { what: "remove", name: name.clone(), source };
    let path = path(name);
    if !path.exists() {
        return Ok(());
    }
    // A file that nothing is mounted on is only to be removed.
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    fs::remove_file(&path).map_err(failed)
}

fn path(name: &Namespace) -> PathBuf {
    PathBuf::from(DIRECTORY).join(name.as_str())
}

/// Makes a namespace, moves this thread into it, and mounts it where it stays.
fn make(path: &std::path::Path) -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    File::create(path)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let none: Option<&str> = None;
    mount(Some(OWN), path, none, MsFlags::MS_BIND, none)?;
    Ok(())
}
