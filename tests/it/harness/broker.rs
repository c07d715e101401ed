//! A Kafka broker for one test: it can be killed, frozen and restarted with its data, and every
//! client reaches it through a proxy.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::services::{free_port, service_script};
use super::{DEADLINE, Kafka, Process, Proxy, eventually};

pub(crate) struct Broker {
    // Dropped in this order: the process before its folder.
    process: Process,
    proxy: Proxy,
    folder: TempDir,
    port: u16,
    controller_port: u16,
    /// Where it listens with TLS and SASL.
    secure_port: u16,
}

impl Broker {
    /// Starts a broker and waits until it answers.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, controller_port, secure_port) = (free_port(), free_port(), free_port());
        let proxy = Proxy::start(port).await;
        let process = spawn(&folder, port, controller_port, proxy.port(), secure_port);
        let mut broker = Self {
            process,
            proxy,
            folder,
            port,
            controller_port,
            secure_port,
        };
        broker.wait_until_ready().await;
        broker
    }

    /// The cluster, reached through the proxy.
    pub(crate) fn kafka(&self) -> Kafka {
        Kafka::new(format!("127.0.0.1:{}", self.proxy.port()))
    }

    /// Where it listens with TLS and SASL/PLAIN, user `syncline`, password `secret`.
    pub(crate) fn secure(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port)
    }

    /// The file of its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("kafka/broker.pem")
    }

    /// The proxy between the broker and its clients.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The broker's process, to kill or to freeze.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Restarts a killed broker with its data, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        let proxy_port = self.proxy.port();
        let (port, controller_port) = (self.port, self.controller_port);
        self.process = spawn(
            &self.folder,
            port,
            controller_port,
            proxy_port,
            self.secure_port,
        );
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let brokers = format!("127.0.0.1:{}", self.proxy.port());
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("reconnect.backoff.max.ms", "500")
            .create()
            .expect("the settings are valid");
        eventually("the broker to answer", DEADLINE, async || {
            self.process.expect_running();
            match client.fetch_metadata(None, Duration::from_secs(1)) {
                Ok(metadata) if !metadata.brokers().is_empty() => Ok(()),
                Ok(_) => Err("no broker is registered".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }
}

fn spawn(
    folder: &TempDir,
    port: u16,
    controller_port: u16,
    advertised_port: u16,
    secure_port: u16,
) -> Process {
    let mut command = Command::new(service_script("kafka"));
    command
        .arg(folder.path().join("kafka"))
        .args([port.to_string(), controller_port.to_string()])
        .env("KAFKA_ADVERTISED_PORT", advertised_port.to_string())
        .env("KAFKA_SECURE_PORT", secure_port.to_string());
    Process::start("kafka", folder.path(), command)
}
