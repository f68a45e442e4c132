//! One network namespace: a host of the lab.

use std::{
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    panic,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use nix::{
    fcntl::{Flock, FlockArg},
    sched::{CloneFlags, setns},
    unistd::Uid,
};

use super::tool;

/// Where the kernel's settings for the namespace of the reading thread appear.
const SETTINGS: &str = "/proc/sys/net";

/// Two `ip netns add` that both find `/run/netns` missing would mount it twice.
const MACHINE_LOCK: &str = "/run/lock/privatelink-lab.lock";

/// A network namespace, deleted when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    name: String,
    file: File,
}

impl Namespace {
    /// Creates a namespace whose name ends in `role` and is unique on this machine.
    ///
    /// IPv6 addresses work at once in it (no duplicate detection), and nothing is forwarded. All
    /// other settings are a distribution's: among them, that router advertisements count, and that
    /// senders are hardly checked.
    ///
    /// # Errors
    /// When not root, or when `ip` fails.
    pub fn create(role: &str) -> Result<Self> {
        if !Uid::effective().is_root() {
            bail!("the lab needs root to make network namespaces: run this as root (sudo -E)");
        }
        let name = format!("pl-{}-{role}", unique());
        {
            let _one_at_a_time = machine_lock()?;
            tool::run_line(&format!("ip netns add {name}"))?;
        }
        let path = path_of(&name);
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let namespace = Self(Arc::new(Handle { name, file }));
        for (setting, value) in [
            ("ipv4/ip_forward", "0"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/all/disable_ipv6", "0"),
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv4/conf/all/rp_filter", "2"),
            ("ipv4/conf/default/rp_filter", "2"),
        ] {
            namespace.set(setting, value)?;
        }
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Returns the name by which `ip -n` knows it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the file by which `nsenter --net=` enters it.
    pub fn path(&self) -> String {
        path_of(&self.0.name)
    }

    /// Writes a kernel setting below `net`, such as `ipv4/ip_forward`.
    ///
    /// # Errors
    /// When the kernel does not know the setting or refuses the value.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        self.run(|| {
            fs::write(format!("{SETTINGS}/{setting}"), value)
                .with_context(|| format!("cannot set net/{setting} to {value} in {}", self.name()))
        })
    }

    /// Runs `ip` in the namespace; the words hold no spaces.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn ip(&self, words: &str) -> Result<String> {
        Ok(tool::run_line(&format!("ip -n {} {words}", self.name()))?)
    }

    /// Returns a command that will run `program` in the namespace.
    ///
    /// `ip netns exec` would mount another `/sys` and hide the pinned objects.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    /// Runs `work` on a fresh thread inside the namespace; sockets opened there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `work` returns.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                setns(&self.0.file, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("cannot enter {}", self.name()))?;
                work()
            });
            worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = tool::run_line(&format!("ip netns del {}", self.name)) {
            eprintln!("lab: {error}");
        }
    }
}

/// Returns a string that no other process or lab of this machine uses.
pub fn unique() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().build_hasher().finish() & 0xffff;
    format!("{}-{count}-{random:04x}", process::id())
}

fn path_of(name: &str) -> String {
    format!("/run/netns/{name}")
}

/// Takes the lock that keeps labs of this machine from setting up the same thing twice.
pub(super) fn machine_lock() -> Result<Flock<File>> {
    let file = File::create(MACHINE_LOCK).context("cannot create the lab's lock file")?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .context("cannot take the lab's lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_is_unique() {
        assert_ne!(unique(), unique());
    }
}
