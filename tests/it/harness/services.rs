//! The services that `scripts/test` starts for all tests, and the programs that it provides to
//! start more.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::{Database, Kafka, Mariadb};

/// The shared Kafka broker.
pub(crate) fn kafka() -> Kafka {
    Kafka::new(variable("SYNCLINE_TEST_KAFKA"))
}

/// Creates a database on the shared PostgreSQL.
pub(crate) async fn postgres(label: &str) -> Database {
    Database::create(&variable("SYNCLINE_TEST_POSTGRES"), label).await
}

/// Creates a database on the shared MariaDB.
pub(crate) async fn mariadb(label: &str) -> Mariadb {
    Mariadb::create(&variable("SYNCLINE_TEST_MYSQL"), label).await
}

/// A script of `tests/services` that runs one service in the foreground.
pub(super) fn service_script(name: &str) -> PathBuf {
    for needed in ["SYNCLINE_SERVICES_CLASSPATH", "SYNCLINE_SERVICES_POSTGRES"] {
        variable(needed);
    }
    repository().join("tests/services").join(name)
}

/// The root of the repository.
pub(super) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A name that no other test uses: `label`, this process's id and a counter.
pub(crate) fn unique(label: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{label}_{}_{number}", std::process::id())
}

/// A free port below the range that the kernel assigns, so that it is still free when a killed
/// service restarts.
pub(super) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id() % u32::from(COUNT)) as u16));
    loop {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: the services are not up; run `make test`, or `scripts/test NAME` for some tests")
    })
}
