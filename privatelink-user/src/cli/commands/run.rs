//! `privatelink run`: the daemon.

use std::{
    env, error::Error, io, os::unix::process::CommandExt as _, path::PathBuf, process::Command,
};

use anyhow::{Context as _, Result};
use clap::Args;
use nix::unistd::geteuid;

use crate::{
    cli::{globals::Globals, logging},
    config::DEFAULT_PATH,
    daemon::{self, Options, Outcome},
    supervision,
};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub config: PathBuf,

    /// What lines of the log look like [default: text]
    #[arg(long, value_name = "FORMAT", value_enum, env = "PRIVATELINK_LOG_FORMAT")]
    pub log_format: Option<logging::Format>,
}

impl RunArgs {
    pub fn run(&self, globals: &Globals) -> Result<()> {
        let options = Options { config: self.config.clone(), socket: globals.socket.clone() };
        logging::start(self.log_format);
        supervision::note_panics();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let outcome = runtime.block_on(daemon::run(options)).map_err(|error| {
            let needs_rights = is_denied(&error) && !geteuid().is_root();
            let error = anyhow::Error::new(error);
            if needs_rights { error.context(UNPRIVILEGED) } else { error }
        });
        match outcome? {
            Outcome::Ends => Ok(()),
            Outcome::Restarts => Err(start_again()).context("cannot start the daemon again"),
        }
    }
}

/// What to do where the daemon has no rights.
const UNPRIVILEGED: &str = "this user may not run the daemon: start it as root, or as the service \
                            with `systemctl start privatelink`; as another user it needs \
                            CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW and \
                            CAP_NET_BIND_SERVICE, and directories of its own";

/// Whether the system has refused something for want of rights.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if refused == Some(io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Replaces this process by the same program with the same arguments; returns only if that fails.
fn start_again() -> io::Error {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    // This very program, even if another release has been installed in its place.
    Command::new("/proc/self/exe").arg0(name).args(arguments).exec()
}
