//! What systemd is told: ready, status, reloading, stopping. Silent without `NOTIFY_SOCKET`. That the
//! process is alive is told by [`crate::heart`].
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

/// The configuration is being read again (`RELOADING=1`); [`ready`] says that this is over, whatever came
/// of it. systemd 253 and newer want to know the time (`MONOTONIC_USEC=`).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(error = %error, "could not tell systemd of a reload"),
    }
}

/// Alive (`WATCHDOG=1`), and a start, reload or stop that goes on may take so much longer.
pub(crate) fn alive(extension: Duration) {
    let usec = u32::try_from(extension.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(usec)]);
}

/// Whether there is a systemd that listens.
pub(crate) fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How often the loop must turn ([`crate::heart::beat`]): half of `WATCHDOG_USEC` (sd_watchdog_enabled(3) recommends it),
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
