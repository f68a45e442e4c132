//! `privatelink down`: stops forwarding and removes all that is pinned, by the daemon or without
//! one.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    cli::{absence::pin_directories, client, daemon::Daemon, globals::Globals, print::print},
    config,
    daemon::{self, reserve},
    datapath::bpf::{Datapath, Removed, is_pinned},
    dns::feeder,
    host::restore,
    interface::{path, types::Stopped},
    model::Gateway,
};

#[derive(Debug, Args)]
pub struct DownArgs {
    /// The configuration that names the pin directory [default: /etc/privatelink if it is there]
    #[arg(long, value_name = "PATH", conflicts_with = "pin_dir")]
    pub config: Option<PathBuf>,

    /// The pin directory, if there is no configuration
    #[arg(long, value_name = "PATH")]
    pub pin_dir: Option<PathBuf>,
}

impl DownArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        let stopped = if matches!(daemon, Daemon::Server(_)) {
            // A release that does not say what it removed answers with nothing.
            client::post::<Option<Stopped>>(&daemon, path::DOWN)?.unwrap_or_default()
        } else {
            down(globals, self)?
        };
        print(out, globals.json, &stopped, said)
    }
}

fn said(stopped: &Stopped) -> String {
    let Stopped { pin_dir, interfaces, flows } = stopped;
    let detached = match interfaces.as_slice() {
        [] => "no interface was attached".to_owned(),
        some => format!("detached from {}", some.join(", ")),
    };
    let ended = match flows {
        Some(1) => "; 1 flow ended".to_owned(),
        Some(flows) => format!("; {flows} flows ended"),
        None => String::new(),
    };
    let removed =
        if pin_dir.is_empty() { String::new() } else { format!("; {pin_dir} was removed") };
    format!("forwarding has stopped: {detached}{ended}{removed}\n")
}

/// The pin directory that is meant.
pub(super) fn pin_dir(globals: &Globals, args: &DownArgs) -> Result<PathBuf> {
    match &args.pin_dir {
        Some(pin_dir) => Ok(pin_dir.clone()),
        None => {
            let Paths { socket, pin_dir, .. } = paths(globals, args)?;
            daemon::pin_dir_of(&socket).or(pin_dir).map_or_else(|| Err(unnoted(&socket)), Ok)
        }
    }
}

/// Removes all that is pinned; returns what that was. The host's interfaces are then as they were
/// before the first start.
fn down(globals: &Globals, args: &DownArgs) -> Result<Stopped> {
    let Paths { socket, pin_dir: configured, state_dir } = match &args.pin_dir {
        Some(pin_dir) => Paths {
            socket: globals.local_socket(),
            pin_dir: Some(pin_dir.clone()),
            state_dir: None,
        },
        None => paths(globals, args)?,
    };
    // The daemon noted it when it started, so it is right even if the configuration has changed.
    let noted = daemon::pin_dir_of(&socket);
    if let Some(pin_dir) = args.pin_dir.as_ref().filter(|wanted| noted.as_ref() != Some(*wanted)) {
        // The daemon on that socket has another pin directory.
        return without_daemon(pin_dir, None);
    }
    let state_dir = daemon::state_dir_of(&socket).or(state_dir);
    match client::post::<Option<Stopped>>(&Daemon::Socket(socket.clone()), path::DOWN) {
        Ok(stopped) => Ok(stopped.unwrap_or_default()),
        Err(client::Error::NotRunning { .. }) => {
            let Some(pin_dir) = noted.or(configured) else { return Err(unnoted(&socket)) };
            feeder::end(&socket);
            without_daemon(&pin_dir, state_dir.as_deref())
        }
        Err(error) => Err(error.into()),
    }
}

/// The gateway whose daemon had this socket cannot be found: another one's is not taken for it.
fn unnoted(socket: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "no daemon listens on {}, and none has noted there where its pins are: name the directory \
         with --pin-dir{}",
        socket.display(),
        existing(socket)
    )
}

/// The pin directories that there are, as the end of a message.
fn existing(near: &Path) -> String {
    let found = pin_directories(near);
    let listed: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    match listed.as_slice() {
        [] => "; there is none on this host that this user can see".to_owned(),
        some => format!("; there are pins at {}", some.join(", ")),
    }
}

/// Where a daemon has what is to be removed.
struct Paths {
    socket: PathBuf,
    /// `None` if only a socket is named, which may be any gateway's.
    pin_dir: Option<PathBuf>,
    /// Where it has noted how the host's interfaces were.
    state_dir: Option<PathBuf>,
}

/// The paths from the command line and the configuration.
fn paths(globals: &Globals, args: &DownArgs) -> Result<Paths> {
    let default = Path::new(config::DEFAULT_PATH);
    let path = match &args.config {
        Some(path) => Some(path.as_path()),
        None if globals.socket.is_none() && default.exists() => Some(default),
        None => None,
    };
    let Some(path) = path else {
        let is_named = globals.socket.is_some();
        let usual = |path: &str| (!is_named).then(|| PathBuf::from(path));
        return Ok(Paths {
            socket: globals.local_socket(),
            pin_dir: usual(Gateway::DEFAULT_PIN_DIR),
            state_dir: usual(Gateway::DEFAULT_STATE_DIR),
        });
    };
    let loaded = config::load(path).context("name the pins with --pin-dir, or correct this")?;
    let gateway = loaded.model.gateway();
    let socket = globals.socket.clone().unwrap_or_else(|| gateway.socket.clone());
    let (pin_dir, state_dir) = (Some(gateway.pin_dir.clone()), Some(gateway.state_dir.clone()));
    Ok(Paths { socket, pin_dir, state_dir })
}

fn without_daemon(pin_dir: &Path, state_dir: Option<&Path>) -> Result<Stopped> {
    let _lock = match File::open(pin_dir) {
        Ok(directory) => Some(reserve("pin_dir", pin_dir, directory)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", pin_dir.display()));
        }
    };
    let was_pinned = is_pinned(pin_dir);
    // An empty directory goes, too, and one on another file system is refused.
    let Removed { interfaces, flows } = Datapath::down(pin_dir)?;
    if let Some(state_dir) = state_dir {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for problem in runtime.block_on(restore(state_dir)) {
            eprintln!("warning: {problem}");
        }
    }
    if !was_pinned {
        bail!("nothing is pinned at {}{}", pin_dir.display(), existing(pin_dir));
    }
    Ok(Stopped { pin_dir: pin_dir.display().to_string(), interfaces, flows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_detached_and_ended_is_named() {
        let stopped = Stopped {
            pin_dir: "/sys/fs/bpf/privatelink".into(),
            interfaces: vec!["eth1".into(), "eth2".into()],
            flows: Some(12),
        };
        assert_eq!(
            said(&stopped),
            "forwarding has stopped: detached from eth1, eth2; 12 flows ended; \
             /sys/fs/bpf/privatelink was removed\n"
        );
        assert_eq!(
            said(&Stopped::default()),
            "forwarding has stopped: no interface was attached\n"
        );
    }

    #[test]
    fn a_directory_without_pins_is_no_success() {
        let directory = tempfile::tempdir().unwrap();
        let error = without_daemon(&directory.path().join("none"), None).unwrap_err();
        assert!(error.to_string().starts_with("nothing is pinned at "), "{error}");
        let error = without_daemon(directory.path(), None).unwrap_err();
        assert!(error.to_string().contains("is not on a BPF file system"), "{error}");
    }
}
