//! The options that every command has.

use std::{env, path::PathBuf};

use clap::Args;

use super::daemon::{Daemon, Reach, Unusable};
use crate::model::Gateway;

// No documentation comment: clap would show it as what the program does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The daemon's control socket [default: the configuration's, or
    /// /run/privatelink/privatelink.sock]
    #[arg(long, global = true, value_name = "PATH", env = "PRIVATELINK_SOCKET")]
    pub socket: Option<PathBuf>,

    /// A gateway on another host, such as https://10.9.0.1:9443
    #[arg(long, global = true, value_name = "URL", env = "PRIVATELINK_SERVER")]
    pub server: Option<String>,

    /// The access key for that gateway
    #[arg(long, global = true, value_name = "FILE", env = "PRIVATELINK_KEY_FILE")]
    pub key_file: Option<PathBuf>,

    /// Certificates in PEM, one of which has signed that gateway's [default: those that this host
    /// trusts]
    #[arg(long, global = true, value_name = "FILE", env = "PRIVATELINK_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// A client certificate for that gateway and its private key, in PEM
    #[arg(long, global = true, value_name = "FILE", env = "PRIVATELINK_CERT_FILE")]
    pub cert_file: Option<PathBuf>,

    /// The file with what is left out of these [default: ~/.config/privatelink/profile.toml]
    #[arg(long, global = true, value_name = "FILE", env = "PRIVATELINK_PROFILE")]
    pub profile: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Globals {
    /// The socket of a daemon on this host, when no configuration is read.
    pub fn local_socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| Gateway::DEFAULT_SOCKET.into())
    }

    /// The daemon to ask.
    pub fn daemon(&self) -> Daemon {
        // Where a socket is named, the profile does not count.
        if self.socket.is_some() {
            return match &self.server {
                Some(_) => Daemon::Server(Err(Unusable::Both)),
                None => Daemon::Socket(self.local_socket()),
            };
        }
        match self.reach() {
            Ok(reach) if reach.server.is_some() => Daemon::Server(reach.open().map(Box::new)),
            Ok(_) => Daemon::Socket(self.local_socket()),
            Err(unusable) => Daemon::Server(Err(unusable)),
        }
    }

    fn reach(&self) -> Result<Reach, Unusable> {
        let given = Reach {
            server: self.server.clone(),
            key_file: self.key_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
        };
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let folder = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
        let usual = folder.map(|folder| folder.join("privatelink/profile.toml"));
        match self.profile.clone().or(usual) {
            Some(profile) => Ok(given.or(Reach::of_profile(&profile)?)),
            None => Ok(given),
        }
    }
}
