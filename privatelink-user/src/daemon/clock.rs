//! The gateway's own time: that by which grants, requests and drains end.
//!
//! The host's wall clock can be set, by an hour or by ten years, and then nothing should end that
//! has not lasted as long as it was given, nor go on for longer. So the gateway's own time is the
//! wall clock's once, and from then on it passes with the time since the boot of the host. What
//! joins the two is kept beside the state, so that a daemon that is started again in the same boot
//! goes on by the same time. Another boot has no time in common with the one before: there, the wall
//! clock counts.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use log::{info, warn};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::timestamp::{ClockOffset, Moment, Timestamp};

/// Name of the file in the state directory.
const FILE: &str = "clock.json";
/// Identifies the boot of the host.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// So long after its boot, a host has set its clock by what it can reach. Until then the wall clock
/// is followed wherever it goes.
const SETTLING: Duration = Duration::from_secs(600);

/// The clocks of a host.
pub(super) trait HostClocks: fmt::Debug + Send {
    /// The wall clock, which can be set.
    fn wall(&self) -> Timestamp;

    /// The time since the boot, which cannot.
    fn since_boot(&self) -> Duration;

    /// What tells this boot from all others.
    fn boot(&self) -> String;
}

/// The clocks of the host that the daemon runs on.
#[derive(Debug)]
struct Kernel;

impl HostClocks for Kernel {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        // It fails for clocks that there are not, and this one is as old as Linux 2.6.39.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }

    fn boot(&self) -> String {
        fs::read_to_string(BOOT).map(|text| text.trim().to_owned()).unwrap_or_default()
    }
}

/// What joins the two clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Joint {
    /// The boot for which it holds.
    boot: String,
    /// The gateway's own time at that boot.
    booted: Timestamp,
}

/// The gateway's own time.
#[derive(Debug)]
pub(super) struct Clock {
    host: Box<dyn HostClocks>,
    path: PathBuf,
    /// `None` while the wall clock is followed.
    joint: Option<Joint>,
    /// Whether the file holds the joint.
    kept: bool,
    /// Whether a failure to write it has been logged.
    broken: bool,
    /// The offset that was last logged.
    told: ClockOffset,
}

impl Clock {
    /// Continues the time that a directory keeps.
    pub fn open(directory: &Path) -> Self {
        Self::of(Box::new(Kernel), directory)
    }

    /// The same by other clocks.
    pub fn of(host: Box<dyn HostClocks>, directory: &Path) -> Self {
        let path = directory.join(FILE);
        let boot = host.boot();
        let joint = read(&path).filter(|joint| joint.boot == boot);
        let (kept, told) = (joint.is_some(), ClockOffset::default());
        let mut clock = Self { host, path, joint, kept, broken: false, told };
        clock.follow();
        clock
    }

    /// Follows the host: call it now and then.
    pub fn follow(&mut self) {
        let since_boot = self.host.since_boot();
        if self.joint.is_none() && since_boot >= SETTLING {
            let booted = self.host.wall().before(since_boot);
            self.joint = Some(Joint { boot: self.host.boot(), booted });
        }
        self.keep();
        let ahead = self.moment().ahead;
        if ahead != self.told {
            self.told = ahead;
            info!(
                "the host's clock was set: it is {ahead} the time by which grants and drains end, \
                 which goes on as before"
            );
        }
    }

    /// The present moment.
    pub fn moment(&self) -> Moment {
        let wall = self.host.wall();
        let now =
            self.joint.as_ref().map_or(wall, |joint| joint.booted.after(self.host.since_boot()));
        Moment { now, ahead: ClockOffset::between(now, wall) }
    }

    fn keep(&mut self) {
        let Some(joint) = self.joint.as_ref().filter(|_| !self.kept) else { return };
        match write(&self.path, joint) {
            Ok(()) => (self.kept, self.broken) = (true, false),
            Err(error) if !self.broken => {
                self.broken = true;
                let path = self.path.display();
                warn!(
                    "after a restart, grants will end by the wall clock: cannot write {path}: \
                     {error}"
                );
            }
            Err(_) => {}
        }
    }
}

fn read(path: &Path) -> Option<Joint> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!("grants end by the wall clock: cannot read {}: {error}", path.display());
            return None;
        }
    };
    match serde_json::from_str(&text) {
        Ok(joint) => Some(joint),
        Err(error) => {
            warn!("grants end by the wall clock: {} is damaged: {error}", path.display());
            None
        }
    }
}

/// Writes the file anew. It is not synced: it matters until the host is started again.
fn write(path: &Path, joint: &Joint) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(joint)?)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
