//! What systemd is told: ready, status, watchdog, stopping. Silent without `NOTIFY_SOCKET`.
//!
//! A notification that fails never stops the work: it is logged once per call and forgotten,
//! because systemd itself acts when it hears nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Start-up is finished (`READY=1`). Only after every check that may refuse to start.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// One line for `systemctl status`. Never evidence content.
pub fn status(line: &str) {
    // The protocol is line based: a newline would start another assignment.
    send(&[NotifyState::Status(&line.replace(['\n', '\r'], " "))]);
}

/// A clean stop has begun (`STOPPING=1`).
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Alive (`WATCHDOG=1`). Send it from the loop that does the work, not from a timer beside it.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often to call [`watchdog`]: half of `WATCHDOG_USEC` (sd_watchdog_enabled(3) recommends it),
/// or `None` when systemd expects none.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = %error, "could not notify systemd");
    }
}
