//! What packets do while no daemon runs.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    daemon::pin_dir_of,
    datapath::bpf::{is_pinned, pinned_interfaces},
    model::Gateway,
};

/// Where BPF file systems are mounted.
const BPFFS: &str = "/sys/fs/bpf";
/// Directories of pins are this far below at most.
const DEPTH: usize = 3;

/// What is known of a gateway whose daemon does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It forwards packets.
    Forwards {
        /// Where that is pinned.
        pin_dir: PathBuf,
        /// The interfaces that it is attached to.
        interfaces: Vec<String>,
    },
    /// It forwards nothing: nothing is pinned.
    Stopped {
        /// Where nothing is.
        pin_dir: PathBuf,
    },
    /// This user may not look at the pins.
    Hidden {
        /// Where they would be.
        pin_dir: PathBuf,
    },
    /// No daemon has run with this socket.
    Unknown,
}

impl Absence {
    /// Looks at what the last daemon on a socket has left.
    pub fn of(socket: &Path) -> Self {
        let usual = socket == Path::new(Gateway::DEFAULT_SOCKET);
        let usual = usual.then(|| PathBuf::from(Gateway::DEFAULT_PIN_DIR));
        match pin_dir_of(socket).or(usual) {
            Some(pin_dir) => Self::at(pin_dir),
            None => Self::Unknown,
        }
    }

    fn at(pin_dir: PathBuf) -> Self {
        match fs::read_dir(&pin_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Stopped { pin_dir },
            Err(_) => Self::Hidden { pin_dir },
            Ok(_) => match pinned_interfaces(&pin_dir) {
                Ok(interfaces) if is_pinned(&pin_dir) => Self::Forwards { pin_dir, interfaces },
                Ok(_) => Self::Stopped { pin_dir },
                Err(_) => Self::Hidden { pin_dir },
            },
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forwards { pin_dir, interfaces } => {
                let pins = pin_dir.display();
                match interfaces.as_slice() {
                    [] => write!(
                        f,
                        "flows are pinned at {pins}, but no interface of this network namespace is attached"
                    )?,
                    some => write!(
                        f,
                        "packets are forwarded as before on {}, pinned at {pins}",
                        some.join(", ")
                    )?,
                }
                f.write_str(
                    "; not followed meanwhile: targets and their health, next hops, names, decisions",
                )
            }
            Self::Stopped { pin_dir } => {
                write!(f, "nothing is forwarded: nothing is pinned at {}", pin_dir.display())
            }
            Self::Hidden { pin_dir } => write!(
                f,
                "packets are forwarded as before if there are pins at {}, which this user may not \
                 look at",
                pin_dir.display()
            ),
            Self::Unknown => f.write_str(
                "no daemon has noted where it pins what it forwards by; `privatelink down` lists \
                 the pin directories",
            ),
        }
    }
}

/// The directories that hold pins of a gateway: below the BPF file system, and beside `near`.
pub fn pin_directories(near: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(Path::new(BPFFS), DEPTH, &mut found);
    if let Some(parent) = near.parent().filter(|parent| !parent.starts_with(BPFFS)) {
        search(parent, 1, &mut found);
    }
    found.sort();
    found
}

fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_pinned(directory) {
        return found.push(directory.to_owned());
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    if let Some(depth) = depth.checked_sub(1) {
        below.for_each(|entry| search(&entry.path(), depth, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_packets_do_without_a_daemon_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let pins = directory.path().join("pins");
        assert_eq!(Absence::at(pins.clone()), Absence::Stopped { pin_dir: pins.clone() });
        fs::create_dir_all(pins.join("links")).unwrap();
        // The loopback interface exists in every network namespace, and has the first index.
        fs::write(pins.join("links/1"), "").unwrap();
        let forwards = Absence::at(pins.clone());
        assert_eq!(
            forwards.to_string(),
            format!(
                "packets are forwarded as before on lo, pinned at {}; not followed meanwhile: \
                 targets and their health, next hops, names, decisions",
                pins.display()
            )
        );
        assert!(pin_directories(&directory.path().join("other")).contains(&pins));
        assert_eq!(Absence::of(&directory.path().join("no.sock")), Absence::Unknown);
    }
}
