//! `privatelink down`: takes everything out, with the daemon's help or without a daemon.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    cli::{
        args::{Cli, DownArgs},
        client,
    },
    config,
    daemon::{self, reserve},
    datapath::bpf::Datapath,
    dns::feeder,
    interface::path,
    model::Gateway,
};

/// Takes everything out, and returns where it was.
pub(super) fn down(cli: &Cli, args: &DownArgs) -> Result<PathBuf> {
    let (socket, configured) = match &args.pin_dir {
        Some(pin_dir) => (cli.daemon_socket(), pin_dir.clone()),
        None => places(cli, args)?,
    };
    // It was noted when the daemon began, so it is right even if the configuration has changed.
    let noted = daemon::pin_dir_of(&socket);
    if let Some(pin_dir) = args.pin_dir.as_ref().filter(|wanted| noted.as_ref() != Some(*wanted)) {
        // Whoever listens on that socket has other pins.
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

/// Socket and pin directory, as command line and configuration say.
fn places(cli: &Cli, args: &DownArgs) -> Result<(PathBuf, PathBuf)> {
    let default = Path::new(config::DEFAULT_PATH);
    let path = match &args.config {
        Some(path) => Some(path.as_path()),
        None if cli.socket.is_none() && default.exists() => Some(default),
        None => None,
    };
    let Some(path) = path else {
        return Ok((cli.daemon_socket(), Gateway::DEFAULT_PIN_DIR.into()));
    };
    let loaded = config::load(path).context("name the pins with --pin-dir, or correct this")?;
    let gateway = loaded.model.gateway();
    let socket = cli.socket.clone().unwrap_or_else(|| gateway.socket.clone());
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
