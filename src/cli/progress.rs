//! The progress line on a terminal: counts that grow, how far the sources are behind,
//! and what a pipeline waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::summary::grouped;
use crate::daemon::Daemon;
use crate::run::Running;
use crate::run::status::State;

const REFRESH: Duration = Duration::from_millis(100);

/// One line a pipeline on stderr; none where nobody looks.
pub(crate) struct Progress {
    bars: MultiProgress,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Starts refreshing; does nothing where `visible` is false.
    pub(crate) fn start(daemon: Arc<Daemon>, visible: bool) -> Self {
        let bars = MultiProgress::new();
        let task = visible.then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bars = bars.clone();
            tokio::spawn(async move {
                let mut lines: BTreeMap<String, ProgressBar> = BTreeMap::new();
                loop {
                    for slot in daemon.slots() {
                        let bar = lines.entry(slot.name.clone()).or_insert_with(|| {
                            let bar = ProgressBar::new_spinner().with_style(style.clone());
                            bars.add(bar.with_prefix(slot.name.clone()))
                        });
                        bar.set_message(line(&slot.running()));
                        bar.tick();
                    }
                    tokio::time::sleep(REFRESH).await;
                }
            })
        });
        Self { bars, task }
    }

    /// Takes the lines off the terminal.
    pub(crate) fn clear(&self) {
        if let Some(task) = &self.task {
            task.abort();
            // A terminal that is gone has nothing to clear.
            let _ = self.bars.clear();
        }
    }
}

fn line(pipeline: &Running) -> String {
    let summary = pipeline.summary();
    let mut parts: Vec<String> = summary
        .sinks
        .iter()
        .map(|sink| {
            let balance = &sink.balance;
            format!(
                "→ {} {} in, {} written, {} kept, {} quarantined, {}/s",
                sink.sink,
                grouped(balance.entered),
                grouped(balance.written),
                grouped(balance.kept),
                grouped(balance.quarantined),
                grouped(sink.changes_per_second as u64),
            )
        })
        .collect();
    for source in &summary.sources {
        if let Some(lag) = source.lag {
            parts.push(format!("{} lags by {}", source.source, grouped(lag)));
        }
    }
    if let State::Stalled { cause } = pipeline.status.state() {
        parts.push(format!("stalled: {cause}"));
    }
    parts.join("  ")
}
