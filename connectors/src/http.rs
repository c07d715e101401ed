//! HTTP APIs: a source of pages and a sink of requests.
//!
//! - `client`: one request with its authentication, its pace, and what an answer asks of the caller
//! - `auth`: who asks
//! - `redirect`: which redirects are followed
//! - `paging`: how one page leads to the next; `bookmark`: where reading stands, as a text
//! - `source`, `sink`

pub(crate) mod auth;
mod bookmark;
pub(crate) mod client;
mod paging;
mod redirect;
mod sink;
mod source;

pub use self::auth::Auth;
pub use self::client::Access;
pub use self::paging::Paging;
pub use self::sink::HttpSink;
pub use self::source::HttpSource;
