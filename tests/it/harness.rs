//! Support for the tests: services, child processes, a network that can be broken, changes with a
//! model.
//!
//! Everything that a test starts is stopped when its handle is dropped, also if the test panics.
//! Every wait is for a condition with a deadline, through [`eventually`]. The test can check that a
//! fault that it caused really happened; otherwise the test would prove nothing.

mod api;
mod broker;
mod changes;
mod connect;
mod database_server;
mod http;
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

pub(crate) use api::{Api, metric};
pub(crate) use broker::Broker;
pub(crate) use changes::{Random, Workload};
pub(crate) use connect::Connect;
pub(crate) use database_server::DatabaseServer;
pub(crate) use http::{HttpServer, Received, Reply};
pub(crate) use kafka::{Kafka, Message, RawMessage};
pub(crate) use mariadb::Mariadb;
pub(crate) use pipeline::{Finished, Pipeline};
pub(crate) use postgres::Database;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use services::{kafka, mariadb, postgres, unique};
pub(crate) use target::Target;

/// The deadline for what takes one or two seconds on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The pause of [`eventually`] between two calls.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Calls `look` until it returns `Ok`; fails the test with the last `Err` after the deadline.
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
