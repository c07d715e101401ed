//! A client of the control API of a running `syncline run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::{Exit, Global, complain, refuse};
use crate::config::{Api, SERVICE_FILE, Services};
use crate::daemon::view::Problem;

/// Where a `syncline.toml` is looked for when nothing names one.
const FOLDERS: [&str; 2] = ["", "pipelines"];
/// How long the process may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Where the token is looked for before `syncline.toml`.
const TOKEN: &str = "SYNCLINE_API_TOKEN";

/// How to reach the process.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Where the process listens, HOST:PORT. By default what `[api]` of `--config`, of ./syncline.toml or
    /// of pipelines/syncline.toml says, else 127.0.0.1:7470. The token is that of the same file, or
    /// SYNCLINE_API_TOKEN.
    #[arg(long, value_name = "ADDRESS")]
    api: Option<String>,
}

/// A process that answers.
pub(crate) struct Client {
    address: String,
    token: Option<String>,
}

impl Reach {
    /// The process that the command means.
    pub(crate) fn client(&self, global: &Global) -> Result<Client, Exit> {
        let found = FOLDERS.map(|folder| PathBuf::from(folder).join(SERVICE_FILE));
        let found = found.into_iter().find(|path| path.is_file());
        let api = match global.config.clone().or(found) {
            Some(path) => {
                let service = Services::new(Some(path)).of_process(&[]);
                let service = service.map_err(|report| refuse(&report, global))?;
                service.settings.api.clone().unwrap_or_default()
            }
            None => Api::default(),
        };
        Ok(Client {
            address: self.api.clone().unwrap_or(api.address),
            token: std::env::var(TOKEN).ok().or(api.token),
        })
    }
}

impl Client {
    /// Asks and reads the answer; what is wrong is said on stderr.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        global: &Global,
    ) -> Result<T, Exit> {
        let answered = tokio::time::timeout(TIMEOUT, self.send(method, path)).await;
        let answered =
            answered.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
        let (is_done, body) = answered.map_err(|error| {
            complain(&format!(
                "the process at {} cannot be asked: {error}; is it running with an [api] in its syncline.toml?",
                self.address
            ));
            Exit::Unreachable
        })?;
        let unreadable = |error: serde_json::Error| {
            complain(&format!(
                "{} answers something else than this version expects: {error}",
                self.address
            ));
            Exit::Failed
        };
        if is_done {
            return serde_json::from_slice(&body).map_err(unreadable);
        }
        let problem: Problem = serde_json::from_slice(&body).map_err(unreadable)?;
        match (&problem.problems, global.json) {
            (_, true) => {
                let shown = super::print_json(&serde_json::json!(problem));
                return Err(Exit::Configuration.max(shown));
            }
            (Some(problems), false) => complain(&format!("{}\n{problems:#}", problem.what)),
            (None, false) => complain(&format!("{}: {}", problem.what, problem.remedy)),
        }
        Err(Exit::Configuration)
    }

    async fn send(&self, method: Method, path: &str) -> Result<(bool, Bytes), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        // A process that listens everywhere is asked at home.
        let address = match self.address.strip_prefix("0.0.0.0:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => self.address.replacen("[::]:", "[::1]:", 1),
        };
        let stream = TcpStream::connect(&address).await.map_err(|e| text(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| text(&e))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &address);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| text(&e))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|e| text(&e))?;
            let is_done = answer.status().is_success();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|e| text(&e))?;
            Ok((is_done, body.to_bytes()))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            done = &mut exchange => done,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// A name as a part of a path.
pub(crate) fn segment(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                path.push(char::from(byte));
            }
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(segment("crm-to_billing"), "crm-to_billing");
        assert_eq!(segment("a/b ä?"), "a%2Fb%20%C3%A4%3F");
    }
}
