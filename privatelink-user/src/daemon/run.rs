//! `privatelink run`: from a configuration on disk to a gateway that is driven until it ends.

use std::{path::PathBuf, time::Duration};

use log::warn;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    adoption,
    error::Error,
    event_loop::{EventLoop, Outcome},
    gateway::Gateway,
    hold::Hold,
    joining, lock,
    log_level::log_at,
    service_manager,
    signals::Signals,
};
use crate::{
    access::Register,
    api::{
        front::keeper::way_to_server,
        server::{self, Door},
    },
    audit::Audit,
    config,
    state::{Journal, Store as _, objects::Objects},
};

/// How long responses that were begun may take when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The options of `privatelink run`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration: a file, or a directory of files.
    pub config: PathBuf,
    /// The control socket, instead of the configuration's.
    pub socket: Option<PathBuf>,
}

/// Runs until asked to end, or to be started again. Forwarding goes on afterwards, unless it was stopped.
///
/// # Errors
/// When it cannot start, or loses the kernel.
pub async fn run(options: Options) -> Result<Outcome, Error> {
    let mut objects = Objects::new();
    // What the disk refuses to read now is waited for below.
    let loaded = config::load_from(&options.config, |state_dir| {
        objects = Journal::open(state_dir).map(|it| it.state().objects.clone()).unwrap_or_default();
        objects.clone()
    })?;
    adoption::check(&loaded)?;
    let gateway = loaded.model.gateway();
    log_at(gateway.log_level);
    let socket = options.socket.clone().unwrap_or_else(|| gateway.socket.clone());
    let _locks = lock::instance(&socket, &gateway.pin_dir, &gateway.state_dir)?;
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let (requests, mut questions) = mpsc::channel(16);
    let (end, ended) = oneshot::channel();
    let listener = server::listen(&socket, &Door::of(&loaded.model))?;
    let register = Register::of(&loaded.model, server::administrators(&socket)?);
    let (register, followed) = watch::channel(register);
    let audit = Audit::new(&gateway.state_dir);
    let (front, remotes) = way_to_server();
    let server =
        tokio::spawn(server::serve(listener, remotes, requests, (followed, audit.clone()), ended));
    let hold = Hold {
        model: &loaded.model,
        register: &register,
        signals: &mut signals,
        questions: &mut questions,
        server: &server,
    };
    let result = match hold.read_state().await {
        Ok(Some(journal)) => {
            let opened = async {
                let store = joining::store(journal, loaded.model.gateway())?;
                let is_other = store.state().objects != objects;
                let again = || config::load_with(&options.config, &store.state().objects);
                let loaded = if is_other { again()? } else { loaded };
                let paths = (options.config.as_path(), socket.as_path());
                Gateway::open(paths, loaded, (register, front), (store, audit)).await
            };
            match opened.await {
                Ok(opened) => EventLoop::new(opened, signals, questions, &server).run().await,
                Err(error) => Err(error),
            }
        }
        Ok(None) => Ok(Outcome::Ends),
        Err(error) => Err(error),
    };
    if matches!(result, Ok(Outcome::Restarts)) {
        service_manager::reloading();
    } else {
        service_manager::stopping();
    }
    let _ = end.send(());
    if timeout(FAREWELL, server).await.is_err() {
        warn!("timed out sending a response during shutdown");
    }
    if let Err(error) = std::fs::remove_file(&socket) {
        warn!("cannot remove {}: {error}", socket.display());
    }
    result
}
