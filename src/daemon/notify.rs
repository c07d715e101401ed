//! What the process tells systemd (`Type=notify`): that it is ready, that it reloads, that it stops, and
//! at the pace of `WatchdogSec` that it lives. Outside systemd nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// Tells systemd about the process. The watchdog is a task of the runtime that runs the pipelines: where
/// that hangs, systemd hears nothing and starts the process again.
pub struct Notifier {
    watchdog: Option<JoinHandle<()>>,
}

impl Notifier {
    /// The process is ready: its configuration is right and its pipelines have begun.
    pub fn ready() -> Self {
        tell(&[NotifyState::Ready]);
        let watchdog = sd_notify::watchdog_enabled().map(|limit| {
            // Half the limit, as sd_watchdog_enabled(3) advises.
            let pace = (limit / 2).max(Duration::from_secs(1));
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(pace);
                loop {
                    ticks.tick().await;
                    tell(&[NotifyState::Watchdog]);
                }
            })
        });
        Self { watchdog }
    }

    /// The configuration is read again.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "systemd was not told of the reload"),
        }
    }

    /// The configuration was read, or was wrong and everything is as before.
    pub fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The process drains and ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd does not listen");
    }
}
