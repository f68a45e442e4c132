//! Messages to the service manager, if one started the daemon.

use std::time::Duration;

use log::warn;
use sd_notify::NotifyState;

/// How often the service manager must hear that the loop goes round, if it wants to: twice as
/// often as it asks for.
pub(super) fn watchdog_period() -> Option<Duration> {
    let period = sd_notify::watchdog_enabled().map(|period| period / 2);
    period.filter(|period| !period.is_zero())
}

/// The loop goes round.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// The gateway forwards packets.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(started) => notify(&[NotifyState::Reloading, started]),
        Err(error) => warn!("cannot notify the service manager of a reload: {error}"),
    }
}

/// The daemon ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The line that the service manager shows.
pub(super) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("cannot notify the service manager: {error}");
    }
}
