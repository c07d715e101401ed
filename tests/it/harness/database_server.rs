//! A PostgreSQL server for one test: it can be crashed and restarted with its data.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::services::{free_port, service_script};
use super::{DEADLINE, Database, Process, eventually};

pub(crate) struct DatabaseServer {
    // Dropped in this order: the process before its folder.
    process: Process,
    folder: TempDir,
    port: u16,
}

impl DatabaseServer {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // If root runs the tests, the server runs as another user, who needs access to the folder.
        let permissions = fs::Permissions::from_mode(0o711);
        fs::set_permissions(folder.path(), permissions).expect("the folder is ours");
        let port = free_port();
        let mut server = Self {
            process: spawn(&folder, port),
            folder,
            port,
        };
        server.wait_until_ready().await;
        server
    }

    /// Creates a database.
    pub(crate) async fn database(&self, label: &str) -> Database {
        Database::create(&self.url(), label).await
    }

    /// The port of the server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server without a checkpoint (`immediate`): open transactions are lost, connections
    /// break.
    pub(crate) async fn crash(&mut self) {
        self.process.quit();
        self.process.wait(DEADLINE).await;
    }

    /// Restarts a crashed server and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.folder, self.port);
        self.wait_until_ready().await;
    }

    fn url(&self) -> String {
        format!(
            "postgres://syncline:syncline@127.0.0.1:{}/postgres",
            self.port
        )
    }

    async fn wait_until_ready(&mut self) {
        let url = self.url();
        eventually("PostgreSQL to answer", DEADLINE, async || {
            self.process.expect_running();
            <sqlx::PgConnection as sqlx::Connection>::connect(&url)
                .await
                .map(drop)
        })
        .await;
    }
}

fn spawn(folder: &TempDir, port: u16) -> Process {
    let mut command = Command::new(service_script("postgres"));
    command
        .arg(folder.path().join("postgres"))
        .arg(port.to_string());
    Process::start("postgres", folder.path(), command)
}
