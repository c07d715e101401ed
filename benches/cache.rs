//! Measures what the memory of a cache gives, compared with a plain map of the same keys and values.

mod support;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use support::{Aim, compare, time};
use syncline_connectors::cache::{Cache, Key, Options, Policy};

const ENTRIES: u64 = 100_000;
const ROUNDS: u64 = 20;

fn main() {
    let keys: Vec<Key> = (0..ENTRIES)
        .map(|id| {
            format!("client {}", id * 7_919 % ENTRIES)
                .into_bytes()
                .into()
        })
        .collect();
    let value = |key: &Key| Bytes::copy_from_slice(&[key, &b" of a firm in a city"[..]].concat());
    let map: HashMap<Key, Bytes, foldhash::fast::RandomState> =
        keys.iter().map(|key| (key.clone(), value(key))).collect();
    for (name, policy, ttl) in [
        ("cache get, lru", Policy::Lru, None),
        ("cache get, fifo", Policy::Fifo, None),
        (
            "cache get, ttl",
            Policy::Ttl,
            Some(Duration::from_secs(600)),
        ),
    ] {
        let cache = Cache::new(Options {
            policy,
            ttl,
            entries: Some(2 * ENTRIES),
            ..Options::default()
        });
        for key in &keys {
            cache.set(key.clone(), value(key));
        }
        compare(
            name,
            "a plain map with the same hash, get and clone",
            Aim::RateAtLeast(0.4),
            || {
                time(ENTRIES * ROUNDS, || {
                    for _ in 0..ROUNDS {
                        for key in black_box(&keys) {
                            black_box(cache.get(key));
                        }
                    }
                })
            },
            || {
                time(ENTRIES * ROUNDS, || {
                    for _ in 0..ROUNDS {
                        for key in black_box(&keys) {
                            black_box(map.get(&**key).cloned());
                        }
                    }
                })
            },
        );
        assert_eq!(cache.stats().misses, 0, "everything is held");
    }
}
