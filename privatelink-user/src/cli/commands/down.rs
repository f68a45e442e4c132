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
    cli::{client, globals::Globals, print::print},
    config,
    daemon::{self, reserve},
    datapath::bpf::Datapath,
    dns::feeder,
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
        let pin_dir = down(globals, self)?;
        let done = format!("forwarding has stopped; {} was removed", pin_dir.display());
        print(out, globals.json, &json!({ "pin_dir": pin_dir }), |_| done + "\n")
    }
}

/// Removes all that is pinned, and returns from where.
fn down(globals: &Globals, args: &DownArgs) -> Result<PathBuf> {
    let (socket, configured) = match &args.pin_dir {
        Some(pin_dir) => (globals.daemon_socket(), pin_dir.clone()),
        None => paths(globals, args)?,
    };
    // The daemon noted it when it started, so it is right even if the configuration has changed.
    let noted = daemon::pin_dir_of(&socket);
    if let Some(pin_dir) = args.pin_dir.as_ref().filter(|wanted| noted.as_ref() != Some(*wanted)) {
        // The daemon on that socket has another pin directory.
        return without_daemon(pin_dir);
    }
    let pin_dir = noted.unwrap_or(configured);
    match client::post::<()>(&socket, path::DOWN) {
        Ok(()) => Ok(pin_dir),
        Err(client::Error::NotRunning { .. }) => {
            feeder::end(&socket);
            without_daemon(&pin_dir)
        }
        Err(error) => Err(error.into()),
    }
}

/// The socket and the pin directory, from the command line and the configuration.
fn paths(globals: &Globals, args: &DownArgs) -> Result<(PathBuf, PathBuf)> {
    let default = Path::new(config::DEFAULT_PATH);
    let path = match &args.config {
        Some(path) => Some(path.as_path()),
        None if globals.socket.is_none() && default.exists() => Some(default),
        None => None,
    };
    let Some(path) = path else {
        return Ok((globals.daemon_socket(), Gateway::DEFAULT_PIN_DIR.into()));
    };
    let loaded = config::load(path).context("name the pins with --pin-dir, or correct this")?;
    let gateway = loaded.model.gateway();
    let socket = globals.socket.clone().unwrap_or_else(|| gateway.socket.clone());
    Ok((socket, gateway.pin_dir.clone()))
}

fn without_daemon(pin_dir: &Path) -> Result<PathBuf> {
    let _lock = match File::open(pin_dir) {
        Ok(directory) => Some(reserve("pin_dir", pin_dir, directory)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", pin_dir.display()));
        }
    };
    Datapath::down(pin_dir)?;
    Ok(pin_dir.to_owned())
}
