//! The pipelines of one process: each in a slot that runs, pauses, begins again or changes its file, and
//! the API that shows and tells them.
//!
//! [`Daemon::run`] is the main loop. It joins every pipeline, and it alone adds, removes and replaces
//! them (`reload.rs`), so that two reloads follow each other. What looks at pipelines reads the list of
//! slots.

pub mod api;
mod kept;
pub mod metrics;
mod notify;
mod paused;
mod process;
mod reload;
mod slot;
mod timer;
pub mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use self::notify::Notifier;
use self::paused::Paused;
use self::reload::Refused;
pub use self::slot::{Ended, Slot};
use self::view::Reloaded;
use crate::config::{PipelineFile, Report, ServiceFile};
use crate::run::Options;
use crate::run::supervise::Hopeful;

/// How many reloads may wait for each other.
const RELOADS_MAX: usize = 4;

/// What a process runs: its `syncline.toml` and its pipeline files, checked.
pub struct Loaded {
    /// What the process is told.
    pub service: Arc<ServiceFile>,
    /// Its pipelines.
    pub files: Vec<PipelineFile>,
}

/// Reads the configuration again.
pub type Load = Box<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// The pipelines of a process; see the module docs.
pub struct Daemon {
    slots: Mutex<Vec<Arc<Slot>>>,
    service: Arc<ServiceFile>,
    options: Options,
    hopeful: Hopeful,
    paused: Paused,
    load: Load,
    stop: watch::Sender<bool>,
    reloads: mpsc::Sender<ReloadAsked>,
    started_at: Instant,
}

/// Asks the main loop to read the configuration again.
pub struct ReloadAsked(oneshot::Sender<Result<Reloaded, Refused>>);

impl Daemon {
    /// The pipelines of `loaded`, none of which runs yet, and what [`Daemon::run`] listens to.
    pub fn new(
        loaded: Loaded,
        options: Options,
        load: Load,
    ) -> (Arc<Self>, mpsc::Receiver<ReloadAsked>) {
        let (reloads, asked) = mpsc::channel(RELOADS_MAX);
        let hopeful = Hopeful::none();
        let paused = match options.once {
            // Who runs a pipeline once means now.
            true => Paused::nowhere(),
            false => Paused::in_folder(&loaded.service.settings.state),
        };
        let slots = loaded.files.into_iter().map(|file| {
            let is_paused = paused.holds(&file.name);
            Arc::new(Slot::new(file, &options, &hopeful, is_paused))
        });
        let daemon = Self {
            slots: Mutex::new(slots.collect()),
            service: loaded.service,
            options,
            hopeful,
            paused,
            load,
            stop: watch::Sender::new(false),
            reloads,
            started_at: Instant::now(),
        };
        (Arc::new(daemon), asked)
    }

    /// Runs every pipeline until all have ended. `ended` is called with each as it ends.
    pub async fn run(
        self: &Arc<Self>,
        mut asked: mpsc::Receiver<ReloadAsked>,
        mut ended: impl FnMut(&Ended),
    ) -> Vec<Ended> {
        let mut tasks = JoinSet::new();
        for slot in self.slots() {
            tasks.spawn(slot.keep());
        }
        let mut stopped = self.stop.subscribe();
        let mut all = Vec::new();
        loop {
            tokio::select! {
                joined = tasks.join_next() => match joined {
                    None => return all,
                    Some(Ok(end)) => {
                        ended(&end);
                        if end.result.is_err() && self.options.fail_fast {
                            self.stop();
                        }
                        all.push(end);
                    }
                    Some(Err(error)) => tracing::error!(%error, "the task of a pipeline panicked"),
                },
                Some(ReloadAsked(reply)) = asked.recv() => {
                    let answer = self.reload(&mut tasks).await;
                    // Who asked may have gone.
                    let _ = reply.send(answer);
                }
                Ok(_) = stopped.wait_for(|&stop| stop), if !self.is_stopping_slots() => {
                    for slot in self.slots() {
                        slot.stop();
                    }
                }
            }
        }
    }

    /// Drains every pipeline. From now on nothing is ready.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether the process is about to end.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Reads the configuration again; nothing changes if anything in it is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn ask_reload(&self) -> Result<Reloaded, Refused> {
        let (reply, answer) = oneshot::channel();
        if self.reloads.send(ReloadAsked(reply)).await.is_err() {
            return Err(Refused::stopping());
        }
        answer.await.unwrap_or_else(|_| Err(Refused::stopping()))
    }

    /// The pipelines, in the order of their files.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.locked().clone()
    }

    /// The pipeline of this name.
    pub fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.locked().iter().find(|slot| slot.name == name).cloned()
    }

    /// What the process was told at its start.
    pub fn service(&self) -> &ServiceFile {
        &self.service
    }

    /// Stops a pipeline until [`Daemon::resume`], also over a restart of the process.
    ///
    /// # Errors
    /// Why that could not be kept.
    pub fn pause(&self, slot: &Slot) -> std::io::Result<()> {
        self.paused.set(&slot.name, true)?;
        slot.pause();
        Ok(())
    }

    /// Lets a paused pipeline go on.
    ///
    /// # Errors
    /// Why that could not be kept.
    pub fn resume(&self, slot: &Slot) -> std::io::Result<()> {
        self.paused.set(&slot.name, false)?;
        slot.resume();
        Ok(())
    }

    fn is_stopping_slots(&self) -> bool {
        self.locked().iter().all(|slot| slot.is_stopping())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        // Each change is complete before the lock is given back, so a panic elsewhere spoils nothing.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slots = self.slots();
        let names = slots.iter().map(|slot| &slot.name);
        f.debug_list().entries(names).finish()
    }
}
