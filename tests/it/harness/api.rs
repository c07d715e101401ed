//! The control API of a `syncline run` in a test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::services::free_port;

pub(crate) struct Api {
    port: u16,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as what the API says that it answers, and nothing else.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Api {
    /// At a free port; `syncline.toml` has to say [`Api::toml`].
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self {
            port: free_port(),
            token: token.map(str::to_owned),
        }
    }

    /// What a `syncline.toml` says.
    pub(crate) fn toml(&self) -> String {
        let token = self.token.iter();
        let token: String = token.map(|token| format!("token = {token:?}\n")).collect();
        format!("[api]\naddress = \"{}\"\n{token}", self.address())
    }

    /// HOST:PORT.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `GET`; an error while nobody listens.
    pub(crate) fn get(&self, path: &str) -> std::io::Result<Answer> {
        self.ask("GET", path, &self.own_headers())
    }

    /// `POST`.
    pub(crate) fn post(&self, path: &str) -> std::io::Result<Answer> {
        self.ask("POST", path, &self.own_headers())
    }

    /// A request with headers, each with its line end.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = if method == "POST" {
            "content-length: 0\r\n"
        } else {
            ""
        };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{headers}{length}connection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    fn own_headers(&self) -> String {
        let token = self.token.iter();
        let token: String = token
            .map(|token| format!("authorization: Bearer {token}\r\n"))
            .collect();
        format!("host: {}\r\n{token}", self.address())
    }
}

/// The values of a metric whose labels hold all of `labels` (`state="idle"`).
pub(crate) fn metric(text: &str, name: &str, labels: &[&str]) -> Vec<f64> {
    let of_name = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    let fitting = of_name.filter(|line| labels.iter().all(|label| line.contains(label)));
    fitting
        .map(|line| {
            let value = line.rsplit(' ').next().expect("a value");
            value.parse().unwrap_or_else(|_| panic!("{line}"))
        })
        .collect()
}
