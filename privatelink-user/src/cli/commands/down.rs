//! `privatelink down`: stops forwarding and removes all that is pinned, by the daemon or without
//! one.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use crate::{
    cli::{client, daemon::Daemon, globals::Globals, print::print},
    config,
    daemon::{self, reserve},
    datapath::bpf::Datapath,
    dns::feeder,
    host::restore,
    interface::path,
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
        if matches!(daemon, Daemon::Server(_)) {
            client::post::<()>(&daemon, path::DOWN)?;
            return print(out, globals.json, &json!({}), |_| "forwarding has stopped\n".into());
        }
        let pin_dir = down(globals, self)?;
        let done = format!("forwarding has stopped; {} was removed", pin_dir.display());
        print(out, globals.json, &json!({ "pin_dir": pin_dir }), |_| done + "\n")
    }
}

/// The pin directory that is meant.
pub(super) fn pin_dir(globals: &Globals, args: &DownArgs) -> Result<PathBuf> {
    match &args.pin_dir {
        Some(pin_dir) => Ok(pin_dir.clone()),
        None => Ok(paths(globals, args)?.pin_dir),
    }
}

/// Removes all that is pinned, and returns from where. The host's interfaces are then as they were
/// before the first start.
fn down(globals: &Globals, args: &DownArgs) -> Result<PathBuf> {
    let Paths { socket, pin_dir: configured, state_dir } = match &args.pin_dir {
        Some(pin_dir) => {
            Paths { socket: globals.local_socket(), pin_dir: pin_dir.clone(), state_dir: None }
        }
        None => paths(globals, args)?,
    };
    // The daemon noted it when it started, so it is right even if the configuration has changed.
    let noted = daemon::pin_dir_of(&socket);
    if let Some(pin_dir) = args.pin_dir.as_ref().filter(|wanted| noted.as_ref() != Some(*wanted)) {
        // The daemon on that socket has another pin directory.
        return without_daemon(pin_dir, None);
    }
    let state_dir = daemon::state_dir_of(&socket).or(state_dir);
    let pin_dir = noted.unwrap_or(configured);
    match client::post::<()>(&Daemon::Socket(socket.clone()), path::DOWN) {
        Ok(()) => Ok(pin_dir),
        Err(client::Error::NotRunning { .. }) => {
            feeder::end(&socket);
            without_daemon(&pin_dir, state_dir.as_deref())
        }
        Err(error) => Err(error.into()),
    }
}

/// Where a daemon has what is to be removed.
struct Paths {
    socket: PathBuf,
    pin_dir: PathBuf,
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
        return Ok(Paths {
            socket: globals.local_socket(),
            pin_dir: Gateway::DEFAULT_PIN_DIR.into(),
            state_dir: Some(Gateway::DEFAULT_STATE_DIR.into()),
        });
    };
    let loaded = config::load(path).context("name the pins with --pin-dir, or correct this")?;
    let gateway = loaded.model.gateway();
    let socket = globals.socket.clone().unwrap_or_else(|| gateway.socket.clone());
    let (pin_dir, state_dir) = (gateway.pin_dir.clone(), Some(gateway.state_dir.clone()));
    Ok(Paths { socket, pin_dir, state_dir })
}

fn without_daemon(pin_dir: &Path, state_dir: Option<&Path>) -> Result<PathBuf> {
    let _lock = match File::open(pin_dir) {
        Ok(directory) => Some(reserve("pin_dir", pin_dir, directory)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", pin_dir.display()));
        }
    };
    Datapath::down(pin_dir)?;
    if let Some(state_dir) = state_dir {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for problem in runtime.block_on(restore(state_dir)) {
            eprintln!("warning: {problem}");
        }
    }
    Ok(pin_dir.to_owned())
}
