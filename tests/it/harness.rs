//! What the tests stand on: services, child processes, a breakable network, changes with a model.
//!
//! Everything that is started is stopped when its handle is dropped, also when a test panics. Every
//! wait is on a condition with a deadline, through [`eventually`]. A fault that a test asks for
//! can be asked whether it happened: a test whose fault never came has proven nothing.

mod broker;
mod changes;
mod connect;
mod database_server;
mod kafka;
mod mariadb;
mod pipeline;
mod postgres;
mod process;
mod proxy;
mod services;
mod target;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub(crate) use broker::Broker;
pub(crate) use changes::Workload;
pub(crate) use connect::Connect;
pub(crate) use database_server::DatabaseServer;
pub(crate) use kafka::{Kafka, Message, RawMessage};
pub(crate) use mariadb::Mariadb;
pub(crate) use pipeline::{Finished, Pipeline};
pub(crate) use postgres::Database;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use services::{kafka, mariadb, postgres, unique};
pub(crate) use target::Target;

/// How long a test waits for what should come within a second or two on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long [`eventually`] rests between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Looks again and again until `look` answers `Ok`; fails the test with the last `Err` when the
/// deadline has passed.
pub(crate) async fn eventually<T, E: Debug>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > deadline => {
                panic!("waited {deadline:?} for {what}; at last: {seen:?}")
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
