//! The options that every command has.

use std::path::PathBuf;

use clap::Args;

use crate::model::Gateway;

// No documentation comment: clap would show it as what the program does.
#[derive(Debug, Args)]
pub struct Globals {
    /// The daemon's control socket [default: the configuration's, or
    /// /run/privatelink/privatelink.sock]
    #[arg(long, global = true, value_name = "PATH", env = "PRIVATELINK_SOCKET")]
    pub socket: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Globals {
    /// The socket to reach the daemon by when no configuration is read.
    pub fn daemon_socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| Gateway::DEFAULT_SOCKET.into())
    }
}
