use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A clock that moves when it is told to.
#[derive(Clone)]
struct TestClock {
    began: Instant,
    millis: Arc<AtomicU64>,
}

impl TestClock {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn pass(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn now(&self) -> Now {
        let clock = self.clone();
        Arc::new(move || clock.began + Duration::from_millis(clock.millis.load(Ordering::SeqCst)))
    }
}

fn key(text: &str) -> Key {
    text.as_bytes().into()
}

fn set(cache: &Cache, of: &str, value: &str) {
    cache.set(key(of), Bytes::copy_from_slice(value.as_bytes()));
}

fn get(cache: &Cache, of: &str) -> Option<String> {
    let value = cache.get(of.as_bytes())?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// Keys that are held, in the order in which they were set.
fn held(cache: &Cache, count: usize) -> Vec<usize> {
    let is_held = |number: &usize| cache.exists(number.to_string().as_bytes());
    (0..count).filter(is_held).collect()
}

#[test]
fn values_are_set_and_forgotten() {
    let cache = Cache::new(Options::default());
    assert_eq!(get(&cache, "a"), None);
    set(&cache, "a", "1");
    set(&cache, "b", "2");
    set(&cache, "a", "3");
    assert_eq!(get(&cache, "a").as_deref(), Some("3"));
    assert_eq!(cache.ttl(b"a"), Some(None));
    assert_eq!(cache.ttl(b"c"), None);
    assert!(cache.delete(b"a"));
    assert!(!cache.delete(b"a"));
    assert!(!cache.exists(b"a"));
    cache.clear();
    assert_eq!(get(&cache, "b"), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 2, 0));
    assert_eq!(stats.hit_rate(), Some(1.0 / 3.0));
}

#[test]
fn fifo_lets_the_oldest_go_whoever_asks_for_it() {
    let cache = Cache::new(Options {
        policy: Policy::Fifo,
        entries: Some(10),
        ..Options::default()
    });
    for number in 0..10 {
        set(&cache, &number.to_string(), "x");
    }
    for _ in 0..5 {
        assert!(get(&cache, "0").is_some());
    }
    set(&cache, "1", "again");
    for number in 10..14 {
        set(&cache, &number.to_string(), "x");
    }
    // 1 was set again, so that it is not among the oldest.
    assert_eq!(held(&cache, 14), [1, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(cache.stats().evictions, 4);
}

#[test]
fn lru_keeps_what_is_asked_for() {
    let cache = Cache::new(Options {
        entries: Some(100),
        ..Options::default()
    });
    for number in 0..1_000 {
        set(&cache, &number.to_string(), "x");
        for kept in 0..10.min(number) {
            get(&cache, &kept.to_string());
        }
    }
    let kept = held(&cache, 10);
    assert_eq!(kept, (0..10).collect::<Vec<_>>());
    let stats = cache.stats();
    assert!(stats.entries <= 100, "{stats:?}");
    assert_eq!(stats.evictions, 1_000 - stats.entries);
}

#[test]
fn both_bounds_hold() {
    for (entries, value_bytes) in [(50, 10), (1_000, 1_000)] {
        let cache = Cache::new(Options {
            entries: Some(entries),
            bytes: Some(100_000),
            ..Options::default()
        });
        let value = "v".repeat(value_bytes);
        for number in 0..5_000 {
            set(&cache, &number.to_string(), &value);
        }
        let stats = cache.stats();
        assert!(stats.entries <= entries, "{stats:?}");
        assert!(stats.bytes <= 100_000, "{stats:?}");
        assert!(stats.entries >= entries.min(90) / 2, "{stats:?}");
    }
}

#[test]
fn a_value_is_never_given_after_its_time() {
    for policy in [Policy::Lru, Policy::Fifo, Policy::Ttl] {
        let clock = TestClock::new();
        let options = Options {
            policy,
            ttl: Some(Duration::from_millis(100)),
            ..Options::default()
        };
        let cache = Cache::with_clock(options, clock.now());
        set(&cache, "a", "1");
        cache.set_for(
            key("long"),
            Bytes::from_static(b"x"),
            Some(Duration::from_secs(9)),
        );
        clock.pass(60);
        set(&cache, "b", "2");
        assert_eq!(cache.ttl(b"a"), Some(Some(Duration::from_millis(40))));
        assert_eq!(get(&cache, "a").as_deref(), Some("1"));
        clock.pass(40);
        assert_eq!(get(&cache, "a"), None);
        assert_eq!(cache.ttl(b"a"), None);
        assert!(!cache.exists(b"a"));
        assert!(cache.exists(b"b"));
        assert!(cache.exists(b"long"));
    }
}

/// Entries that nobody asks for go, too.
#[test]
fn what_is_over_is_swept() {
    let clock = TestClock::new();
    let options = Options {
        policy: Policy::Ttl,
        ttl: Some(Duration::from_millis(100)),
        ..Options::default()
    };
    let cache = Cache::with_clock(options, clock.now());
    for number in 0..100 {
        set(&cache, &number.to_string(), "x");
    }
    clock.pass(150);
    set(&cache, "new", "x");
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.expired, stats.evictions), (1, 100, 0));
}

#[test]
fn numbers_are_counted() {
    let clock = TestClock::new();
    let options = Options {
        ttl: Some(Duration::from_millis(100)),
        ..Options::default()
    };
    let cache = Cache::with_clock(options, clock.now());
    assert_eq!(cache.increment(b"n", 5), Ok(5));
    clock.pass(50);
    assert_eq!(cache.decrement(b"n", 7), Ok(-2));
    assert_eq!(get(&cache, "n").as_deref(), Some("-2"));
    // What is counted keeps its end.
    assert_eq!(cache.ttl(b"n"), Some(Some(Duration::from_millis(50))));
    clock.pass(50);
    assert_eq!(cache.increment(b"n", 1), Ok(1));
    set(&cache, "t", "text");
    assert_eq!(cache.increment(b"t", 1), Err(NotANumber));
    set(&cache, "m", &i64::MAX.to_string());
    assert_eq!(cache.increment(b"m", 1), Err(NotANumber));
    assert_eq!(cache.decrement(b"m", i64::MIN), Err(NotANumber));
}

#[test]
fn nothing_is_lost_while_several_count() {
    let cache = Cache::new(Options::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    cache.increment(b"n", 1).unwrap();
                }
            });
        }
    });
    assert_eq!(get(&cache, "n").as_deref(), Some("4000"));
}

#[test]
fn compressed_values_come_back_and_are_smaller() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        let cache = Cache::new(Options {
            compression: Some(compression),
            ..Options::default()
        });
        let values = ["", "short", &"long ".repeat(1_000)];
        for (number, value) in values.iter().enumerate() {
            set(&cache, &number.to_string(), value);
        }
        for (number, value) in values.iter().enumerate() {
            assert_eq!(get(&cache, &number.to_string()).as_deref(), Some(*value));
        }
        let bytes = cache.stats().bytes;
        assert!(bytes < 1_000, "{compression:?}: {bytes}");
    }
}

/// Several want the same keys at the same time: each key is asked for once.
#[tokio::test]
async fn a_missing_key_is_asked_for_once() {
    let cache = Cache::new(Options::default());
    set(&cache, "0", "known");
    let asked: Mutex<HashMap<usize, usize>> = Mutex::default();
    let requests = AtomicU64::new(0);
    let keys: Vec<Key> = (0..10).map(|number| key(&number.to_string())).collect();
    let load = |first: usize| {
        let (cache, keys, asked, requests) = (&cache, &keys, &asked, &requests);
        async move {
            let wanted = &keys[first..first + 5];
            let ask = |places: Vec<usize>| async move {
                requests.fetch_add(1, Ordering::SeqCst);
                for place in &places {
                    *asked.lock().unwrap().entry(first + place).or_default() += 1;
                }
                tokio::task::yield_now().await;
                let values = places.iter().map(|place| format!("v{}", first + place));
                Ok::<_, ()>(values.map(Bytes::from).collect())
            };
            cache.load(wanted, ask).await.unwrap()
        }
    };
    let loads = futures::future::join_all([0, 2, 4, 0, 5].map(load)).await;
    assert_eq!(loads[0][0], "known");
    assert_eq!(loads[0][4], "v4");
    assert_eq!(loads[2][0], "v4");
    assert_eq!(loads[4][4], "v9");
    let asked = asked.into_inner().unwrap();
    assert_eq!(asked.len(), 9);
    assert!(asked.values().all(|&times| times == 1), "{asked:?}");
    let stats = cache.stats();
    assert_eq!(stats.loaded, 9);
    assert_eq!(stats.loads, requests.into_inner());
}

#[tokio::test]
async fn a_load_that_fails_keeps_nothing() {
    let cache = Cache::new(Options::default());
    let fails = |_: Vec<usize>| async { Err::<Vec<Bytes>, _>("away") };
    assert_eq!(cache.load(&[key("a")], fails).await, Err("away"));
    assert!(!cache.exists(b"a"));
    let answers = |_: Vec<usize>| async { Ok::<_, ()>(vec![Bytes::from_static(b"1")]) };
    assert_eq!(cache.load(&[key("a")], answers).await.unwrap(), ["1"]);
}
