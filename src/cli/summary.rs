//! The summary at the end of a run: how far the sources are behind, where every change ended
//! (R17), and how fast.

use std::fmt::Write;

use crate::run::{CacheSummary, SinkSummary, Summary};

/// All summaries as text.
pub(crate) fn text(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        let seconds = summary.elapsed_ms as f64 / 1000.0;
        line(
            &mut text,
            format_args!("{} ended after {seconds:.1} s", summary.pipeline),
        );
        for source in &summary.sources {
            if let Some(lag) = source.lag {
                line(&mut text, format_args!("  source {}", source.source));
                line(
                    &mut text,
                    format_args!("    {:<12} {:>14}", "lag", grouped(lag)),
                );
            }
        }
        for sink in &summary.sinks {
            add_sink(&mut text, sink);
        }
        for of in &summary.rules {
            line(&mut text, format_args!("  operator {}", of.operator));
            for rule in &of.rules {
                let field = rule.field.as_deref();
                let field = field.map_or(String::new(), |field| format!("{field}: "));
                let count = grouped(rule.count);
                line(
                    &mut text,
                    format_args!("    {:<12} {count:>14}  {field}{}", rule.action, rule.rule),
                );
            }
        }
    }
    for cache in summaries.iter().flat_map(|summary| &summary.caches) {
        add_cache(&mut text, cache);
    }
    text
}

/// What was put into quarantine, one line a rule; empty where nothing was.
pub(crate) fn quarantined(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for summary in summaries
        .iter()
        .filter(|summary| !summary.quarantined.is_empty())
    {
        line(
            &mut text,
            format_args!(
                "{} put changes into quarantine (`syncline quarantine list`)",
                summary.pipeline
            ),
        );
        for rule in &summary.quarantined {
            let field = rule.field.as_deref();
            let field = field.map_or(String::new(), |field| format!(", field {field}"));
            let count = grouped(rule.count);
            line(
                &mut text,
                format_args!(
                    "  {count:>14}  {}, {}: {}{field}; first reason: {}",
                    rule.stage, rule.topic, rule.rule, rule.reason
                ),
            );
        }
    }
    text
}

fn add_cache(text: &mut String, cache: &CacheSummary) {
    let stats = &cache.stats;
    line(text, format_args!("  cache {}", cache.cache));
    let rate = stats.hit_rate().map_or(String::new(), |rate| {
        format!("  {:.1} % of what was asked for", 100.0 * rate)
    });
    let took = milliseconds(stats.load_us.checked_div(stats.loads).unwrap_or_default());
    for (name, count, more) in [
        ("hits", stats.hits, rate),
        ("misses", stats.misses, String::new()),
        (
            "requests",
            stats.loads,
            format!("  {took} each, for {} keys", grouped(stats.loaded)),
        ),
        ("evictions", stats.evictions, String::new()),
        ("expired", stats.expired, String::new()),
        (
            "entries",
            stats.entries,
            format!("  about {} bytes", grouped(stats.bytes)),
        ),
    ] {
        let count = grouped(count);
        line(text, format_args!("    {name:<12} {count:>14}{more}"));
    }
}

fn add_sink(text: &mut String, sink: &SinkSummary) {
    let balance = &sink.balance;
    line(text, format_args!("  sink {}", sink.sink));
    let mut rows = vec![
        ("in", balance.entered),
        ("written", balance.written),
        ("superseded", balance.superseded),
        ("filtered", balance.filtered),
        ("kept", balance.kept),
        ("quarantined", balance.quarantined),
        ("in flight", balance.in_flight),
    ];
    if balance.waiting > 0 {
        rows.insert(5, ("waiting", balance.waiting));
    }
    for (name, count) in &rows {
        line(text, format_args!("    {name:<12} {:>14}", grouped(*count)));
    }
    let sum = rows[1..]
        .iter()
        .map(|(_, count)| grouped(*count))
        .collect::<Vec<_>>()
        .join(" + ");
    let verdict = if balance.adds_up() {
        "adds up"
    } else {
        "DOES NOT ADD UP"
    };
    line(
        text,
        format_args!("    {verdict}: {} = {sum}", grouped(balance.entered)),
    );
    let total: u64 = balance.conflicts.iter().map(|(_, count)| count).sum();
    let kinds: Vec<String> = balance
        .conflicts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {}", grouped(*count)))
        .collect();
    line(
        text,
        format_args!(
            "    {:<12} {:>14}  {}",
            "conflicts",
            grouped(total),
            kinds.join(", ")
        ),
    );
    if balance.waiting > 0 {
        line(
            text,
            format_args!(
                "    waiting for rows that foreign keys need: `syncline waiting list` shows which"
            ),
        );
    }
    if balance.queued > 0 {
        line(
            text,
            format_args!(
                "    {:<12} {:>14}  (of the kept: they wait for a person, `syncline conflicts list`)",
                "queued",
                grouped(balance.queued)
            ),
        );
    }
    if balance.ignored > 0 {
        line(
            text,
            format_args!(
                "    {:<12} {:>14}  (of the filtered: by their origin, ignore_origins)",
                "ignored",
                grouped(balance.ignored)
            ),
        );
    }
    if balance.left_out > 0 {
        line(
            text,
            format_args!(
                "    {:<12} {:>14}  (values of columns that the target does not have, evolution = \"ignore\")",
                "left out",
                grouped(balance.left_out)
            ),
        );
    }
    if balance.warned > 0 {
        line(
            text,
            format_args!("    {:<12} {:>14}", "warned", grouped(balance.warned)),
        );
    }
    if balance.replayed > 0 {
        line(
            text,
            format_args!(
                "    {:<12} {:>14}  (skipped: the target held them)",
                "replayed",
                grouped(balance.replayed)
            ),
        );
    }
    let speed = grouped(sink.changes_per_second as u64);
    line(text, format_args!("    {:<12} {speed:>14}", "changes/s"));
    line(
        text,
        format_args!(
            "    {:<12} {:>14}  p50, {} p99, from fetch to commit",
            "latency",
            milliseconds(balance.latency_p50_us),
            milliseconds(balance.latency_p99_us)
        ),
    );
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes everything");
    let end = text.trim_end().len();
    text.truncate(end);
    text.push('\n');
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use syncline_connectors::cache::CacheStats;
    use syncline_connectors::sink::Outcome;

    use super::*;
    use crate::run::SourceSummary;
    use crate::run::account::Balance;
    use crate::run::refusals::RefusedRule;

    #[test]
    fn thousands_are_apart() {
        for (count, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(count), expected);
        }
    }

    #[test]
    fn the_summary_shows_its_sum() {
        let outcome = Outcome::default();
        let balance = Balance {
            entered: 12_200,
            written: 10_000 + outcome.written,
            superseded: 1_000,
            filtered: 200,
            ignored: 150,
            kept: 900,
            left_out: 0,
            queued: 0,
            waiting: 0,
            quarantined: 100,
            in_flight: 0,
            warned: 3,
            replayed: 0,
            conflicts: vec![("insert_exists", 900), ("delete_missing", 0)],
            latency_p50_us: 12_345,
            latency_p99_us: 45_678,
        };
        let sink = SinkSummary {
            sink: "billing".into(),
            balance,
            changes_per_second: 6000.4,
        };
        let summary = Summary {
            pipeline: "clients".into(),
            elapsed_ms: 2000,
            sources: vec![SourceSummary {
                source: "crm".into(),
                lag: Some(1_500),
            }],
            sinks: vec![sink],
            rules: Vec::new(),
            quarantined: vec![RefusedRule {
                stage: "decode".into(),
                topic: "crm.public.clients".into(),
                rule: "R3".into(),
                field: Some("amount".into()),
                count: 1_100,
                reason: "found a string, expected a decimal number".into(),
            }],
            caches: vec![CacheSummary {
                cache: "firms".into(),
                stats: CacheStats {
                    hits: 9_000,
                    misses: 1_000,
                    loads: 4,
                    loaded: 1_000,
                    load_us: 10_000,
                    entries: 1_000,
                    bytes: 120_000,
                    ..CacheStats::default()
                },
            }],
        };
        expect![[r#"
            clients put changes into quarantine (`syncline quarantine list`)
                       1,100  decode, crm.public.clients: R3, field amount; first reason: found a string, expected a decimal number
        "#]]
        .assert_eq(&quarantined(std::slice::from_ref(&summary)));
        expect![[r#"
            clients ended after 2.0 s
              source crm
                lag                   1,500
              sink billing
                in                   12,200
                written              10,000
                superseded            1,000
                filtered                200
                kept                    900
                quarantined             100
                in flight                 0
                adds up: 12,200 = 10,000 + 1,000 + 200 + 900 + 100 + 0
                conflicts               900  insert_exists 900
                ignored                 150  (of the filtered: by their origin, ignore_origins)
                warned                    3
                changes/s             6,000
                latency             12.3 ms  p50, 45.7 ms p99, from fetch to commit
              cache firms
                hits                  9,000  90.0 % of what was asked for
                misses                1,000
                requests                  4  2.5 ms each, for 1,000 keys
                evictions                 0
                expired                   0
                entries               1,000  about 120,000 bytes
        "#]]
        .assert_eq(&text(&[summary]));
    }
}
