//! The loop: waits until something happens, and makes the gateway act on it.

use std::{iter, ops::ControlFlow};

use log::{error, warn};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    answers::{self, Next},
    error::Error,
    gateway::Gateway,
    inbox::{self, Inbox},
    schedule::{Schedule, Timer},
    service_manager,
    signals::Signals,
};
use crate::{
    api::request::Call,
    chain::Chain,
    datapath::bpf,
    host,
    watch::{discovery::Finding, health::HealthReport},
};

/// Why the loop wakes up.
enum Wakeup {
    /// A signal asks the daemon to end.
    Terminate,
    /// A signal asks for a reload.
    Reload,
    /// The host has changed.
    Host(host::Event),
    /// A health check has found something out.
    Health(HealthReport),
    /// Discovery has found something.
    Found(Finding),
    /// Other gateways have changed something.
    Group,
    /// A client asks.
    Asked(Box<Call>),
    /// A timer is due.
    Timer,
    /// The server on the control socket has ended by itself.
    ServerEnded,
}

/// The gateway, and everything that it is driven by.
pub(super) struct EventLoop<'a> {
    gateway: Gateway,
    inbox: Inbox,
    signals: Signals,
    questions: mpsc::Receiver<Call>,
    server: &'a JoinHandle<()>,
    schedule: Schedule,
    /// What follows the end of the loop.
    outcome: Outcome,
}

/// What follows the end of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Ends,
    /// It starts again, in the same process.
    Restarts,
}

impl<'a> EventLoop<'a> {
    /// Drives a gateway by what it hears, by signals, and by what the server is asked.
    pub fn new(
        (gateway, inbox): (Gateway, Inbox),
        signals: Signals,
        questions: mpsc::Receiver<Call>,
        server: &'a JoinHandle<()>,
    ) -> Self {
        let schedule = Schedule::new(Instant::now(), service_manager::watchdog_period());
        let outcome = Outcome::Ends;
        Self { gateway, inbox, signals, questions, server, schedule, outcome }
    }

    /// Runs until the daemon is asked to end, or loses the kernel or its socket.
    pub async fn run(mut self) -> Result<Outcome, Error> {
        self.converge().await?;
        loop {
            let wakeup = self.select().await;
            if let ControlFlow::Break(why) = self.apply(wakeup).await? {
                self.gateway.publish_end(why);
                return Ok(self.outcome);
            }
        }
    }

    /// Waits for the next wakeup. Dropping the future loses nothing.
    async fn select(&mut self) -> Wakeup {
        if self.server.is_finished() {
            return Wakeup::ServerEnded;
        }
        // Computed anew each time: soon after the host's boot, its clock may be set.
        let deadline = self.gateway.next_deadline().map(|left| Instant::now() + left);
        self.schedule.set_deadline(deadline);
        self.schedule.set_busy(self.gateway.is_sweeping());
        let next = self.schedule.next(Instant::now());
        tokio::select! {
            _ = self.signals.terminate.recv() => Wakeup::Terminate,
            _ = self.signals.interrupt.recv() => Wakeup::Terminate,
            _ = self.signals.hangup.recv() => Wakeup::Reload,
            event = self.inbox.events.next() => Wakeup::Host(event),
            Some(report) = self.inbox.reports.next() => Wakeup::Health(report),
            Some(finding) = self.inbox.findings.recv() => Wakeup::Found(finding),
            () = inbox::rung(self.inbox.bell.as_deref()) => Wakeup::Group,
            Some(question) = self.questions.recv() => Wakeup::Asked(Box::new(question)),
            () = sleep_until(next) => Wakeup::Timer,
        }
    }

    /// Acts on a wakeup; breaks with the reason if the daemon is to end.
    async fn apply(&mut self, wakeup: Wakeup) -> Result<ControlFlow<&'static str>, Error> {
        match wakeup {
            Wakeup::Terminate => {
                return Ok(ControlFlow::Break("the daemon ends; packets are forwarded as before"));
            }
            Wakeup::ServerEnded => return Err(Error::ServerEnded),
            Wakeup::Reload => {
                self.gateway.reload_on_signal().await;
                self.retry_if_behind();
            }
            Wakeup::Host(event) => self.accept_host_events(event).await?,
            Wakeup::Health(report) => {
                let waiting = iter::from_fn(|| self.inbox.reports.waiting());
                if self.gateway.accept_reports(iter::once(report).chain(waiting)) {
                    self.schedule.changed(Instant::now());
                }
            }
            Wakeup::Found(finding) => {
                self.gateway.accept_finding(finding);
                self.schedule.changed(Instant::now());
            }
            Wakeup::Group => self.take_in()?,
            Wakeup::Asked(question) => {
                match answers::answer(&mut self.gateway, *question).await {
                    Next::GoOn => {}
                    Next::End => {
                        let why = "the daemon ends; forwarding has been stopped";
                        return Ok(ControlFlow::Break(why));
                    }
                    Next::Restart => {
                        self.outcome = Outcome::Restarts;
                        let why = "the daemon starts again, with another flow table";
                        return Ok(ControlFlow::Break(why));
                    }
                }
                if self.gateway.take_rest() {
                    self.schedule.lull(Instant::now());
                }
                self.retry_if_behind();
            }
            Wakeup::Timer => {
                if let Some(timer) = self.schedule.take_due(Instant::now()) {
                    self.serve(timer).await?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Does what a timer is for.
    async fn serve(&mut self, timer: Timer) -> Result<(), Error> {
        match timer {
            Timer::Converge => self.converge().await?,
            Timer::Verify => {
                self.gateway.forget_maps();
                self.converge().await?;
            }
            Timer::Sweep => {
                let swept = self.gateway.sweep_flows();
                self.note_sweep(swept);
            }
            Timer::Continue => {
                let swept = self.gateway.go_on_sweeping();
                self.note_sweep(swept);
            }
            Timer::Symptoms => {
                if let Err(error) = self.gateway.look_for_symptoms() {
                    error!("cannot read target counters: {}", Chain(&error));
                }
            }
            Timer::LookAround => match self.gateway.look_around() {
                Ok(false) => {}
                Ok(true) => self.schedule.hurry(Instant::now()),
                Err(error) => warn!("{error}"),
            },
            Timer::Watchdog => service_manager::alive(),
        }
        Ok(())
    }

    /// Once the flow table has been swept, entries that flows relied on can be removed.
    fn note_sweep(&mut self, swept: Result<bool, bpf::Error>) {
        match swept {
            Ok(false) => {}
            Ok(true) => self.schedule.hurry(Instant::now()),
            Err(error) => {
                error!("cannot sweep the flow table: {}", Chain(&error));
                self.gateway.pause_sweeping();
            }
        }
    }

    /// Reconciles the gateway. A write that failed is retried, because an interface may have gone
    /// just then.
    async fn converge(&mut self) -> Result<(), Error> {
        let result = self.gateway.converge().await;
        self.schedule.converged(Instant::now(), self.gateway.is_ready());
        match result {
            Err(error @ (Error::Store(_) | Error::Datapath(_))) => {
                error!("{}; retrying", Chain(&error));
                self.schedule.retry(Instant::now());
                Ok(())
            }
            result => result,
        }
    }

    /// Takes in what other gateways have changed. A write to the maps that fails is retried.
    fn take_in(&mut self) -> Result<(), Error> {
        match self.gateway.take_in() {
            Ok(false) => {}
            Ok(true) => self.schedule.hurry(Instant::now()),
            Err(error @ (Error::Store(_) | Error::Datapath(_))) => {
                error!("{}; retrying", Chain(&error));
                self.schedule.retry(Instant::now());
            }
            Err(error) => return Err(error),
        }
        self.retry_if_behind();
        Ok(())
    }

    /// Retries a write to the maps that failed outside a reconciliation.
    fn retry_if_behind(&mut self) {
        if self.gateway.is_behind() {
            self.schedule.retry(Instant::now());
        }
    }

    /// Applies a change of the host, and those that wait behind it.
    async fn accept_host_events(&mut self, event: host::Event) -> Result<(), Error> {
        let mut changed = false;
        let mut next = Some(event);
        while let Some(event) = next {
            changed |= self.gateway.accept_host_event(event).await?;
            next = self.inbox.events.waiting();
        }
        if changed {
            self.schedule.changed(Instant::now());
        }
        Ok(())
    }
}
