//! A reload: the new configuration is read and checked as a whole; if anything in it is wrong, nothing
//! changes. Then only the pipelines that differ are drained and begun again, each by itself: one whose
//! sink does not answer holds up no other.

use std::sync::Arc;

use serde_json::Value as Json;
use tokio::task::JoinSet;

use super::view::Reloaded;
use super::{Daemon, Ended, Loaded, Slot};
use crate::config::{ServiceFile, check_together};
use crate::run::status::State;

/// Why a reload changed nothing.
#[derive(Debug, Clone)]
pub struct Refused {
    /// For a person.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Each problem with its place.
    pub problems: Json,
}

impl Refused {
    pub(super) fn stopping() -> Self {
        Self {
            what: "the process is about to end".to_owned(),
            remedy: "wait until it has started again".to_owned(),
            problems: Json::Array(Vec::new()),
        }
    }
}

impl Daemon {
    pub(super) async fn reload(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Ended>,
    ) -> Result<Reloaded, Refused> {
        if self.is_stopping() {
            return Err(Refused::stopping());
        }
        let daemon = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = (daemon.load)()?;
            check_together(&loaded.files)?;
            Ok(loaded)
        });
        let loaded = loaded.await.unwrap_or_else(|_| Err(Default::default()));
        let Loaded { service, files } = loaded.map_err(|report: crate::config::Report| {
            let text = report.render(false);
            tracing::error!("nothing was reloaded: the configuration is wrong\n{text}");
            Refused {
                what: "the configuration is wrong, and nothing was changed".to_owned(),
                remedy: "mend what `problems` lists, and reload again".to_owned(),
                problems: report.to_json(),
            }
        })?;
        let mut answer = Reloaded {
            needs_restart: differences(&self.service, &service),
            ..Reloaded::default()
        };
        let mut slots = Vec::with_capacity(files.len());
        for file in files {
            let name = file.name.clone();
            let known = self.slot(&name).filter(|slot| !slot.has_ended());
            let Some(slot) = known else {
                let is_paused = self.paused.holds(&name);
                let slot = Slot::new(file, &self.options, &self.hopeful, is_paused);
                slots.push(Arc::new(slot));
                answer.added.push(name);
                continue;
            };
            if slot.file().same_as(&file) {
                // A person may have mended what it waits for.
                if matches!(slot.running().status.state(), State::Failed { .. }) {
                    slot.restart();
                }
                answer.unchanged.push(name);
            } else {
                slot.replace(file);
                answer.changed.push(name);
            }
            slots.push(slot);
        }
        let before = std::mem::replace(&mut *self.locked(), slots.clone());
        for slot in before {
            if !slots.iter().any(|kept| Arc::ptr_eq(kept, &slot)) {
                slot.stop();
                if !slot.has_ended() {
                    answer.removed.push(slot.name.clone());
                }
            }
        }
        for slot in slots {
            if answer.added.contains(&slot.name) {
                tasks.spawn(slot.keep());
            }
        }
        tracing::info!(
            changed = ?answer.changed,
            added = ?answer.added,
            removed = ?answer.removed,
            unchanged = answer.unchanged.len(),
            "reloaded"
        );
        if !answer.needs_restart.is_empty() {
            let settings = answer.needs_restart.join(", ");
            tracing::warn!(
                settings,
                "a change of these holds from the next start of the process"
            );
        }
        Ok(answer)
    }
}

/// The settings of the process that differ and hold only from its next start.
fn differences(old: &ServiceFile, new: &ServiceFile) -> Vec<String> {
    let (old, new) = (&old.settings, &new.settings);
    let differ = [
        ("api", old.api != new.api),
        ("log", old.log != new.log),
        ("state", old.state != new.state),
        (
            "shutdown_timeout_s",
            old.shutdown_timeout_s != new.shutdown_timeout_s,
        ),
    ];
    let differ = differ.iter().filter(|(_, differs)| *differs);
    differ.map(|(name, _)| (*name).to_owned()).collect()
}
