//! The daemon: one loop that owns all state, and brings the maps after whatever changes.

mod adoption;
mod answers;
mod error;
mod gateway;
mod lock;
mod parts;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use log::{error, info, warn};
use netlink_packet_route::RouteNetlinkMessage;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::{
    api::{
        request::Question,
        server::{self, Door},
    },
    chain::Chain,
    config::{self, Loaded},
    host::{Event, Events},
    interface::types::Difference,
};

pub use error::Error;
use gateway::{Gateway, Inbox};
pub use lock::{InUse, pin_dir_of, reserve};

/// Events come in bursts; what comes within this time is answered by one change of the maps.
const BURST: Duration = Duration::from_millis(10);
/// How often the maps and interfaces are compared with what was written, in case somebody else
/// writes there.
const VERIFY: Duration = Duration::from_secs(30);
/// How often the daemon looks whether its program still is on the interfaces.
const WATCH: Duration = Duration::from_secs(2);
/// How often a daemon that is not ready yet looks again.
const LOOK: Duration = Duration::from_millis(200);
/// The time between two parts of a sweep of the flow table.
const SWEEP: Duration = Duration::from_millis(250);
/// How often the daemon looks how flows to targets have begun.
const FLOWS: Duration = Duration::from_millis(200);
/// How long answers that were begun may take when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What `privatelink run` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub config: PathBuf,
    /// The control socket, instead of the configuration's.
    pub socket: Option<PathBuf>,
}

/// Runs until told to end. Forwarding goes on afterwards, unless it was told to stop that.
///
/// # Errors
/// When it cannot start, or loses the kernel.
pub async fn run(options: Options) -> Result<(), Error> {
    let loaded = config::load(&options.config)?;
    gateway::check(&loaded)?;
    let gateway = loaded.model.gateway();
    let socket = options.socket.clone().unwrap_or_else(|| gateway.socket.clone());
    let _locks = lock::instance(&socket, &gateway.pin_dir, &gateway.state_dir)?;
    let signals = Signals::listen().map_err(Error::Signals)?;
    let (requests, asked) = mpsc::channel(16);
    let (end, ended) = oneshot::channel();
    let listener = server::listen(&socket, &Door::of(&loaded.model))?;
    let server = tokio::spawn(server::serve(listener, requests, ended));
    let result = drive(&options, &socket, loaded, signals, asked, &server).await;
    notify(&[NotifyState::Stopping]);
    let _ = end.send(());
    if timeout(FAREWELL, server).await.is_err() {
        warn!("a client did not take its answer in time");
    }
    if let Err(error) = std::fs::remove_file(&socket) {
        warn!("cannot remove {}: {error}", socket.display());
    }
    result
}

/// The signals that mean something to the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn drive(
    options: &Options,
    socket: &Path,
    loaded: Loaded,
    mut signals: Signals,
    mut asked: mpsc::Receiver<Question>,
    server: &JoinHandle<()>,
) -> Result<(), Error> {
    let (mut running, heard) = Gateway::open(&options.config, socket, loaded).await?;
    let Inbox { mut events, mut reports, mut findings } = heard;
    let mut verify = Instant::now() + VERIFY;
    let mut due = converged(running.converge().await)?;
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flows = interval(FLOWS);
    flows.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = watchdog();
    let mut watch = interval(WATCH);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if server.is_finished() {
            return Err(Error::ServerEnded);
        }
        let look = if running.is_ready() { verify } else { verify.min(Instant::now() + LOOK) };
        let look = running.deadline().map_or(look, |deadline| look.min(deadline));
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => {
                // Why not is in the log.
                let _ = running.reload().await;
            }
            event = events.next() => {
                if take_in(&mut running, &mut events, event).await? {
                    due.get_or_insert(Instant::now() + BURST);
                }
            }
            Some(report) = reports.next() => {
                if running.take_reports(report, &mut reports) {
                    due.get_or_insert(Instant::now() + BURST);
                }
            }
            Some(finding) = findings.recv() => {
                running.take_finding(finding);
                due.get_or_insert(Instant::now() + BURST);
            }
            Some(question) = asked.recv() => {
                if running.answer(question).await {
                    running.ends("forwarding has been stopped; the daemon ends");
                    return Ok(());
                }
                if running.is_behind() {
                    due.get_or_insert(Instant::now() + LOOK);
                }
            }
            _ = sweep.tick() => {
                if let Err(error) = running.sweep() {
                    error!("silent flows are not ended: {}", Chain(&error));
                }
            }
            _ = flows.tick() => {
                if let Err(error) = running.look_at_flows() {
                    error!("what flows tell of targets is not known: {}", Chain(&error));
                }
            }
            () = alive.tick() => notify(&[NotifyState::Watchdog]),
            _ = watch.tick() => {
                running.note_drops();
                running.note_lost_records();
                match running.look_at_interfaces() {
                    Ok(false) => {}
                    Ok(true) => drop(due.get_or_insert(Instant::now())),
                    Err(error) => warn!("{error}"),
                }
            }
            () = sleep_until(due.unwrap_or(look)) => {
                if Instant::now() >= verify {
                    running.forget_maps();
                    verify = Instant::now() + VERIFY;
                }
                due = converged(running.converge().await)?;
            }
        }
    }
    running.ends("the daemon ends; packets are forwarded as before");
    Ok(())
}

/// What to do after a convergence: a write that failed is tried again, since an interface may have
/// gone just then.
fn converged(result: Result<(), Error>) -> Result<Option<Instant>, Error> {
    match result {
        Ok(()) => Ok(None),
        Err(error @ (Error::Store(_) | Error::Datapath(_))) => {
            error!("{}", Chain(&error));
            Ok(Some(Instant::now() + LOOK))
        }
        Err(error) => Err(error),
    }
}

/// Takes in an event and those that wait behind it; says whether there is anything to do.
async fn take_in(running: &mut Gateway, events: &mut Events, event: Event) -> Result<bool, Error> {
    let mut changed = false;
    let mut next = Some(event);
    while let Some(event) = next {
        changed |= match event {
            Event::Message(message) => {
                // The kernel has emptied the entries of an interface that is gone. Of one that is
                // there, some messages are about its program.
                if matches!(*message, RouteNetlinkMessage::DelLink(_)) {
                    running.forget_maps();
                }
                let link = matches!(*message, RouteNetlinkMessage::NewLink(_));
                running.host.apply(&message) || link
            }
            Event::Lost => {
                info!("the kernel's messages came too fast; listing everything again");
                running.host.learn().await?
            }
            Event::Closed => return Err(Error::EventsEnded),
        };
        next = events.waiting();
    }
    Ok(changed)
}

/// Applies the configuration on disk, and returns what that changed.
async fn reload(running: &mut Gateway) -> Result<Difference, Error> {
    let started = NotifyState::monotonic_usec_now().map_err(Error::Signals)?;
    notify(&[NotifyState::Reloading, started]);
    let result = take_over(running).await;
    if running.is_ready() {
        notify(&[NotifyState::Ready]);
    }
    result
}

async fn take_over(running: &mut Gateway) -> Result<Difference, Error> {
    let next = running.read()?;
    let difference = running.compare(&next);
    running.adopt(next)?;
    running.converge().await?;
    Ok(difference)
}

/// When to tell the service manager that the loop goes round.
struct Watchdog(Option<Interval>);

impl Watchdog {
    async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

/// Twice as often as the service manager asks for, if it does.
fn watchdog() -> Watchdog {
    let wanted = sd_notify::watchdog_enabled().map(|period| period / 2);
    Watchdog(wanted.filter(|period| !period.is_zero()).map(interval))
}

/// Tells the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("cannot notify the service manager: {error}");
    }
}
