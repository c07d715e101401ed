//! `[caches.NAME]`: what lookups keep.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::cache::{Compression, Options, Policy};
use syncline_connectors::sql::version::duration_us;

use super::ByteSize;
use crate::problem::Problem;

/// A cache, which lookups keep their rows in: in memory, shared by all lanes, empty at each start.
///
/// ```toml
/// [caches.clients]
/// policy  = "lru"
/// entries = 200000
/// bytes   = "64MiB"
/// ttl     = "10m"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    /// Which entry goes where there is no room.
    pub(crate) policy: Policy,
    /// How many entries it holds. Default: 100000, and no bound where `bytes` is one.
    #[schemars(range(min = 1))]
    pub(crate) entries: Option<u64>,
    /// How many bytes its keys and values have, as they are kept, with about 100 for each entry.
    pub(crate) bytes: Option<ByteSize>,
    /// How long what was found is used before it is asked for again: `"30s"`, `"10m"`. Also that there is no
    /// row is used so long. Default: as long as there is room, so that a change of the table may never be seen.
    pub(crate) ttl: Option<String>,
    /// How values are compressed. Default: not at all.
    pub(crate) compression: Option<Compression>,
}

impl CacheConfig {
    /// What is wrong with it; paths begin at its own table.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let help = "write for example \"30s\", \"10m\" or \"1d\"";
        match &self.ttl {
            None if self.policy == Policy::Ttl => {
                let message = "nothing says how long an entry lives";
                problems.push(Problem::new(&["policy"], message).help("write ttl = \"10m\""));
            }
            None => {}
            Some(text) => match duration_us("ttl", text) {
                Ok(1..) => {}
                Ok(_) => problems.push(Problem::new(&["ttl"], "too short").help(help)),
                Err(_) => problems.push(Problem::new(&["ttl"], "not a duration").help(help)),
            },
        }
        if self.bytes.is_some_and(|bytes| bytes.0 == 0) {
            problems.push(Problem::new(&["bytes"], "expected at least 1B"));
        }
        problems
    }

    /// As the cache takes it.
    pub(crate) fn options(&self) -> Options {
        let micros = self.ttl.as_ref().map(|text| duration_us("ttl", text));
        let micros = micros.and_then(Result::ok);
        Options {
            policy: self.policy,
            entries: self.entries,
            bytes: self.bytes.map(|bytes| bytes.0),
            ttl: micros.and_then(|micros| u64::try_from(micros).ok().map(Duration::from_micros)),
            compression: self.compression,
        }
    }
}
