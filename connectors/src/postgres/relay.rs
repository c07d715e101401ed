//! A TCP connection without Nagle's delay, behind a Unix socket that only this process can use.
//!
//! The driver leaves `TCP_NODELAY` off and offers no way to set it, and `COPY` ends with two small
//! messages in a row: the second waits for the server's delayed acknowledgement, 40 ms on Linux, on
//! every write. The relay opens the TCP connection itself and passes bytes on; TLS stays between the
//! driver and the server. One name in the abstract namespace, one connection, from this process.

use std::io;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Bytes that are passed on at once, to the server and back.
const BUFFER_BYTES: (usize, usize) = (256 * 1024, 64 * 1024);

/// How long the goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The task that passes bytes on; it ends with its connection.
pub(super) struct Relay {
    task: JoinHandle<()>,
}

impl Relay {
    /// Connects to the server and gives the socket directory that leads there.
    pub(super) async fn open(host: &str, port: u16) -> io::Result<(Self, String)> {
        let mut upstream = TcpStream::connect((host, port)).await?;
        upstream.set_nodelay(true)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = format!("\0syncline-{}-{number}", process::id());
        // The name that a Postgres client looks for in a socket directory.
        let listener = UnixListener::bind(format!("{directory}/.s.PGSQL.{port}"))?;
        let task = tokio::spawn(async move {
            let Ok(mut client) = accept_own(&listener).await else {
                return;
            };
            drop(listener);
            // An error is a closed connection, which the driver sees and reports.
            let (up, down) = BUFFER_BYTES;
            let _ = copy_bidirectional_with_sizes(&mut client, &mut upstream, up, down).await;
        });
        Ok((Self { task }, directory))
    }

    /// Waits until the goodbye has been passed on.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_LIMIT, &mut self.task).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first connection of this very process; others are turned away.
async fn accept_own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (client, _) = listener.accept().await?;
        let peer = client.peer_cred()?.pid();
        if peer.and_then(|pid| u32::try_from(pid).ok()) == Some(process::id()) {
            return Ok(client);
        }
    }
}
