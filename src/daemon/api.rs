//! The control API: HTTP/1, JSON, and metrics in OpenMetrics text.
//!
//! `api/routes.rs` lists every route once; the router and `openapi.json` are made from that list. Who may
//! ask is decided in `api/guard.rs` before any handler runs. The server answers until the process ends,
//! so that a probe sees it drain.

mod answer;
mod guard;
mod handlers;
mod lists;
mod openapi;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::openapi::openapi;
use super::Daemon;
use crate::config::Api;

/// What handlers need.
#[derive(Debug)]
pub(super) struct Shared {
    daemon: Arc<Daemon>,
    token: Option<String>,
    /// What `/openapi.json` answers.
    description: serde_json::Value,
}

/// A server that answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens at the address of the settings.
    ///
    /// # Errors
    /// Why it cannot listen there, with what to do: the address is no address or taken, or others than
    /// this machine could reach it without a token.
    pub async fn start(settings: &Api, daemon: Arc<Daemon>) -> Result<Self, String> {
        let asked = &settings.address;
        let addresses = tokio::net::lookup_host(asked).await.map_err(|error| {
            format!("[api] address {asked:?} is no address: {error}; write HOST:PORT, for example \"127.0.0.1:7470\"")
        })?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let is_open = addresses.iter().any(|address| !address.ip().is_loopback());
        if is_open && settings.token.is_none() {
            return Err(format!(
                "[api] address {asked:?} can be reached from other machines, and there is no token: \
                 set `token = \"${{file:…}}\"` (at least 16 characters), or listen at 127.0.0.1"
            ));
        }
        let listener = TcpListener::bind(&addresses[..]).await.map_err(|error| {
            format!("[api] cannot listen at {asked:?}: {error}; give another `address`, or stop what listens there")
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("[api] cannot listen at {asked:?}: {error}"))?;
        let shared = Arc::new(Shared {
            daemon,
            token: settings.token.clone(),
            description: openapi(),
        });
        let router = routes::routes()
            .into_iter()
            .fold(Router::new(), |router, route| {
                router.route(route.path, route.handler)
            })
            .fallback(handlers::unknown)
            .method_not_allowed_fallback(handlers::wrong_method)
            .layer(from_fn_with_state(shared.clone(), guard::check))
            .with_state(shared);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the API ended");
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
