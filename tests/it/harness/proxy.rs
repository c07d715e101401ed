//! A TCP proxy that causes network faults between two real programs.
//!
//! A fault applies to existing and new connections until [`Proxy::heal`]. Counters tell whether a
//! fault happened; tests assert on them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream_port: u16,
    faults: watch::Sender<Faults>,
    trap: Mutex<Option<Trap>>,
    accepted: AtomicU64,
    broken: AtomicU64,
    dropped_replies: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    latency: Duration,
    half_open: bool,
    refuse: bool,
    /// Connections with a smaller epoch are broken.
    epoch: u64,
    reset: bool,
}

/// The reply to lose. It is lost once.
enum Trap {
    /// The reply to a request that contains these bytes in one packet.
    To(Vec<u8>),
    /// The replies after this number of bytes.
    After(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Reply,
}

impl Proxy {
    /// Starts a proxy for `127.0.0.1:upstream_port` on its own port.
    pub(crate) async fn start(upstream_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound listener").port();
        let shared = Arc::new(Shared {
            upstream_port,
            faults: watch::Sender::new(Faults::default()),
            trap: Mutex::new(None),
            accepted: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            dropped_replies: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self {
            port,
            shared,
            accepting,
        }
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Delays every packet by `latency`, in both directions.
    pub(crate) fn delay(&self, latency: Duration) {
        self.change(|faults| faults.latency = latency);
    }

    /// Keeps connections open but forwards nothing; the data is forwarded after [`Proxy::heal`].
    pub(crate) fn half_open(&self) {
        self.change(|faults| faults.half_open = true);
    }

    /// Closes every connection in order (FIN) and refuses new ones.
    pub(crate) fn cut(&self) {
        self.change(|faults| {
            faults.refuse = true;
            faults.reset = false;
            faults.epoch += 1;
        });
    }

    /// Breaks every connection (RST); new ones succeed.
    pub(crate) fn reset(&self) {
        self.change(|faults| {
            faults.reset = true;
            faults.epoch += 1;
        });
    }

    /// Delivers the next request that contains `bytes` in one packet, and breaks the connection
    /// instead of delivering the reply.
    pub(crate) fn drop_reply_to(&self, bytes: &[u8]) {
        self.set_trap(Trap::To(bytes.to_vec()));
    }

    /// After this number of bytes of replies, breaks the connection that would deliver the next
    /// one.
    pub(crate) fn drop_reply_after(&self, bytes: usize) {
        self.set_trap(Trap::After(bytes));
    }

    /// Removes every fault.
    pub(crate) fn heal(&self) {
        *lock(&self.shared.trap) = None;
        self.change(|faults| {
            *faults = Faults {
                epoch: faults.epoch,
                ..Faults::default()
            };
        });
    }

    /// The number of connections so far, including refused ones.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The number of connections that [`Proxy::cut`], [`Proxy::reset`] or a refusal ended.
    pub(crate) fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::SeqCst)
    }

    /// The number of lost replies.
    pub(crate) fn dropped_replies(&self) -> u64 {
        self.shared.dropped_replies.load(Ordering::SeqCst)
    }

    fn set_trap(&self, trap: Trap) {
        *lock(&self.shared.trap) = Some(trap);
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.expect("a listener accepts");
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(client, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut faults = shared.faults.subscribe();
    let born = *faults.borrow();
    if born.refuse {
        shared.broken.fetch_add(1, Ordering::SeqCst);
        return;
    }
    // If the upstream is down, the client's connection ends.
    let Ok(mut upstream) = TcpStream::connect(("127.0.0.1", shared.upstream_port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let drop_reply = AtomicBool::new(false);
    let broken = {
        let (client_read, client_write) = client.split();
        let (upstream_read, upstream_write) = upstream.split();
        tokio::select! {
            () = pump(client_read, upstream_write, Direction::Request, &shared, &drop_reply) => false,
            () = pump(upstream_read, client_write, Direction::Reply, &shared, &drop_reply) => false,
            Ok(_) = faults.wait_for(|faults| faults.epoch > born.epoch) => true,
        }
    };
    if broken {
        if shared.faults.borrow().reset {
            let _ = (client.set_zero_linger(), upstream.set_zero_linger());
        }
        drop((client, upstream));
        shared.broken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Forwards bytes in one direction until one end closes or a reply has to be lost.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    shared: &Shared,
    drop_reply: &AtomicBool,
) {
    let mut faults = shared.faults.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let packet = &buffer[..length];
        let latency = faults.borrow().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if faults.wait_for(|faults| !faults.half_open).await.is_err() {
            return;
        }
        let pass = match direction {
            Direction::Request => {
                if is_trapped(shared, packet) {
                    drop_reply.store(true, Ordering::SeqCst);
                }
                length
            }
            Direction::Reply if drop_reply.load(Ordering::SeqCst) => 0,
            Direction::Reply => reply_length(shared, length),
        };
        if to.write_all(&packet[..pass]).await.is_err() {
            return;
        }
        if pass < length {
            shared.dropped_replies.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// Whether the reply to this request has to be lost; then removes the trap.
fn is_trapped(shared: &Shared, request: &[u8]) -> bool {
    let mut trap = lock(&shared.trap);
    let found = match &*trap {
        Some(Trap::To(bytes)) => request.windows(bytes.len()).any(|window| window == bytes),
        _ => false,
    };
    if found {
        *trap = None;
    }
    found
}

/// The number of bytes to forward of a reply with this length.
fn reply_length(shared: &Shared, length: usize) -> usize {
    let mut trap = lock(&shared.trap);
    match &mut *trap {
        Some(Trap::After(left)) if *left < length => {
            let pass = *left;
            *trap = None;
            pass
        }
        Some(Trap::After(left)) => {
            *left -= length;
            length
        }
        _ => length,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
