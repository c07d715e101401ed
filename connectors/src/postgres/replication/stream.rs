//! The connection that changes come from.

use std::time::Duration;

use pgwire_replication::{
    Lsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent,
};
use sqlx::postgres::PgSslMode;

use super::{ReplicationSettings, slot};
use crate::error::{Error, Result};
use crate::postgres::session::connect_options;

/// How many messages wait between the connection and the source.
const MESSAGES_MAX: usize = 1_024;

/// How often the server is told how far everything is done, and at most so long a goodbye waits for it.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// What every value depends on: the same as in the sessions that read the tables.
const SESSION: &str = "-c datestyle=ISO -c timezone=UTC -c intervalstyle=iso_8601 -c extra_float_digits=3 -c bytea_output=hex";

/// See the module docs.
pub(super) struct Stream {
    client: ReplicationClient,
    slot: String,
}

impl Stream {
    /// Begins behind `from`. The server is told that everything up to `done` is done.
    ///
    /// # Errors
    /// `Configuration` where the slot is lost or the user may not, else `Unavailable`: also while the slot is
    /// in use, as it is for a moment after a process was killed.
    pub(super) async fn open(settings: &ReplicationSettings, from: Lsn, done: Lsn) -> Result<Self> {
        let options = connect_options(&settings.place.url)?;
        let (host, port) = match options.get_socket() {
            Some(folder) => (folder.to_string_lossy().into_owned(), options.get_port()),
            None => (options.get_host().to_owned(), options.get_port()),
        };
        if !matches!(
            options.get_ssl_mode(),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
        ) {
            return Err(Error::configuration(
                "mode = \"replication\" cannot use TLS yet: read over a local socket or a tunnel with sslmode=disable, or with mode = \"cursor\"",
            ));
        }
        let password = password_of(&settings.place.url);
        let mut config = ReplicationConfig::new(
            host,
            options.get_username(),
            password,
            options.get_database().unwrap_or(options.get_username()),
            &settings.slot,
            settings.publication.as_str(),
        );
        config.port = port;
        config.start_lsn = from;
        config.ack_lsn = Some(done);
        config.buffer_events = MESSAGES_MAX;
        config.status_interval = STATUS_INTERVAL;
        config.options = Some(SESSION.to_owned());
        config.application_name = Some(format!("syncline/{}", settings.slot));
        let limit = Duration::from_millis(settings.place.connect_timeout_ms);
        let connect = async {
            let mut client = ReplicationClient::connect(config).await?;
            client.wait_started().await?;
            Ok(client)
        };
        let client = match tokio::time::timeout(limit, connect).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(failure(&settings.slot, error)),
            Err(_) => {
                return Err(Error::Unavailable {
                    message: format!(
                        "the replication of slot {:?} did not start within {} ms (connect_timeout_ms)",
                        settings.slot, settings.place.connect_timeout_ms
                    ),
                    cause: None,
                });
            }
        };
        Ok(Self {
            client,
            slot: settings.slot.clone(),
        })
    }

    /// The next message; cancel-safe.
    ///
    /// # Errors
    /// As [`Stream::open`].
    pub(super) async fn next(&mut self) -> Result<ReplicationEvent> {
        match self.client.recv().await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Error::Unavailable {
                message: format!("the server ended the replication of slot {:?}", self.slot),
                cause: None,
            }),
            Err(error) => Err(failure(&self.slot, error)),
        }
    }

    /// Tells the server that everything up to here is done.
    pub(super) fn acknowledge(&self, lsn: Lsn) {
        self.client.update_applied_lsn(lsn);
    }

    /// Says goodbye, once the server was told what is done.
    pub(super) async fn close(mut self, done: Lsn) {
        self.acknowledge(done);
        let limit = Duration::from_secs(1);
        let metrics = self.client.metrics();
        let goodbye = async {
            // The client's own goodbye does not say it.
            while self.client.is_running() && metrics.last_applied_lsn() < done {
                tokio::time::sleep(STATUS_INTERVAL / 10).await;
            }
            self.client.shutdown().await
        };
        // The server notices by itself where the goodbye does not get through.
        let _ = tokio::time::timeout(limit, goodbye).await;
    }
}

/// The password in a URL, which the driver does not tell.
fn password_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let password = parsed.as_ref().and_then(url::Url::password);
    let given = password.map(percent_decoded);
    given
        .or_else(|| std::env::var("PGPASSWORD").ok())
        .unwrap_or_default()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let decoded = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (byte, decoded) {
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What an error asks of the caller (R16).
fn failure(name: &str, error: PgWireError) -> Error {
    let text = error.to_string();
    let code = text
        .split("SQLSTATE ")
        .nth(1)
        .map(|rest| rest.chars().take(5).collect::<String>())
        .unwrap_or_default();
    let doing = format!("replication of slot {name:?}");
    let is_gone = text.contains("can no longer") || text.contains("has already been removed");
    match &error {
        PgWireError::Server(_) if code == "42704" && text.contains("replication slot") => {
            Error::configuration(slot::lost(name, "it does not exist any more"))
        }
        PgWireError::Server(_) if is_gone => Error::configuration(slot::lost(name, &text)),
        PgWireError::Server(_) if matches!(&*code, "42501" | "28000" | "28P01" | "42704") => {
            Error::configuration(format!(
                "{doing}: {text}: the user of the url needs the attribute REPLICATION (ALTER ROLE … REPLICATION) and SELECT on the tables"
            ))
        }
        PgWireError::Auth(_) => Error::configuration(format!(
            "{doing}: {text}: correct user and password in the url"
        )),
        _ => Error::unavailable(doing, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_slot_is_no_outage_and_a_busy_one_is_r16() {
        let check = |text: &str, configuration: bool| {
            let error = failure("s", PgWireError::Server(text.to_owned()));
            let found = matches!(error, Error::Configuration { .. });
            assert_eq!(found, configuration, "{text}: {error}");
        };
        check(
            "replication slot \"s\" does not exist (SQLSTATE 42704)",
            true,
        );
        check(
            "replication slot \"s\" is active for PID 7 (SQLSTATE 55006)",
            false,
        );
        check(
            "requested WAL segment 000000010000000000000001 has already been removed (SQLSTATE 58P01)",
            true,
        );
        check(
            "can no longer get changes from replication slot \"s\" (SQLSTATE 55000)",
            true,
        );
        check(
            "terminating connection due to administrator command (SQLSTATE 57P01)",
            false,
        );
        check(
            "must be superuser or replication role to use replication slots (SQLSTATE 42501)",
            true,
        );
        assert_eq!(password_of("postgres://u:a%40b%2F@h/d"), "a@b/");
    }
}
