//! What a schema cannot say: settings of one component that must agree with each other, and
//! expressions that must at least be SQL.

use std::collections::BTreeMap;

use syncline_connectors::change::Table;
use syncline_connectors::conflict::{
    BaseFrom, ConflictPolicy, Detect, History, HistoryPlace, Strategy,
};
use syncline_connectors::format::parse_declared;
use syncline_connectors::sink::SinkConfig;
use syncline_connectors::source::{SourceConfig, SourceSettings as _};
use syncline_connectors::sql::lookup::LookupConfig;
use syncline_connectors::sql::target::Target;
use syncline_connectors::sql::version::duration_us;

use super::caches::CacheConfig;
use super::schema::Settings;
use super::{ByteSize, QuarantineConfig};
use crate::conflict;
use crate::function::nearest;
use crate::operator::OperatorConfig;
use crate::problem::Problem;

/// The least memory with which a pipeline can work.
const MEMORY_MIN: ByteSize = ByteSize::mebibytes(16);

/// What is wrong with a source; paths begin at its own table.
pub(crate) fn check_source(config: &SourceConfig) -> Vec<Problem> {
    let mut problems = config.check();
    if let Some(Err(wrong)) = config.decoding().schema.as_ref().map(parse_declared) {
        let wrong = wrong.into_iter();
        problems.extend(wrong.map(|(column, message)| Problem::new(&["schema", &column], message)));
    }
    problems
}

/// What is wrong with a sink; paths begin at its own table.
pub(crate) fn check_sink(config: &SinkConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some(options) = config.options() else {
        return config.check();
    };
    problems.extend(check_conflict(&options.conflict));
    problems.extend(config.check());
    if duration_us("timeout", &options.waiting.timeout).is_err() {
        let help = "write for example \"10m\", \"1h\" or \"2d\"; \"0s\" lets nothing wait";
        let problem = Problem::new(&["waiting", "timeout"], "not a duration");
        problems.push(problem.help(help));
    }
    if !(1..=32).contains(&options.writers) {
        let message = format!("expected 1 to 32, found {}", options.writers);
        problems.push(Problem::new(&["writers"], message));
    }
    if options.key.as_ref().is_some_and(Vec::is_empty) {
        let message = "no column is named: leave `key` out to take the key that the changes carry";
        problems.push(Problem::new(&["key"], message));
    }
    // Every placeholder has a value here: what is refused is the template.
    let any: std::sync::Arc<str> = "any".into();
    let table = Table {
        topic: any.clone(),
        database: Some(any.clone()),
        schema: Some(any.clone()),
        name: any,
    };
    if let Err(error) = Target::of(&options.table, &table) {
        problems.push(Problem::new(&["table"], error.to_string()));
    }
    problems
}

/// What is wrong with the quarantine; paths begin at its own table.
pub(crate) fn check_quarantine(config: &QuarantineConfig) -> Vec<Problem> {
    match config {
        QuarantineConfig::File(_) => Vec::new(),
        QuarantineConfig::Kafka(config) => config.as_source().check(),
    }
}

/// What is wrong with the keys that belong to no component.
pub(crate) fn check_settings(settings: &Settings) -> Vec<Problem> {
    let (memory, batch) = (settings.memory, settings.batch.bytes);
    let mut problems = Vec::new();
    if memory < MEMORY_MIN {
        let message = format!("too small: expected at least {MEMORY_MIN}");
        problems.push(Problem::new(&["memory"], message));
    }
    if batch.0 == 0 || batch.0 > memory.0 / 4 {
        let message =
            format!("expected at least 1B and at most a quarter of `memory`, which is {memory}");
        problems.push(Problem::new(&["batch", "bytes"], message));
    }
    problems
}

/// What is wrong with the names by which operators find lookups, and lookups their caches, and with the caches.
pub(crate) fn check_lookups(
    operators: &[(String, OperatorConfig)],
    lookups: &[(String, LookupConfig)],
    caches: &BTreeMap<String, CacheConfig>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, cache) in caches {
        let wrong = cache.check().into_iter();
        problems.extend(wrong.map(|problem| problem.under(&["caches", name])));
    }
    let known: Vec<&str> = lookups.iter().map(|(name, _)| name.as_str()).collect();
    for (name, operator) in operators {
        for question in operator.questions() {
            if !known.contains(&question.lookup.as_str()) {
                let path = ["operators", name, "lookup"];
                problems.push(absent("lookup", &path, &question.lookup, &known));
            }
        }
    }
    let known: Vec<&str> = caches.keys().map(String::as_str).collect();
    for (name, lookup) in lookups {
        if let Some(cache) = &lookup.options().cache
            && !known.contains(&cache.as_str())
        {
            let path = ["lookups", name, "cache"];
            problems.push(absent("cache", &path, cache, &known));
        }
    }
    problems
}

/// The problem of a name that the file does not define.
fn absent(noun: &str, path: &[&str], name: &str, known: &[&str]) -> Problem {
    let problem = Problem::new(path, format!("there is no {noun} `{name}`"));
    problem.help(match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write it into this file, as [{noun}s.{name}]"),
    })
}

/// What is wrong with `[sinks.NAME.conflict]`; paths begin at the sink.
fn check_conflict(policy: &ConflictPolicy) -> Vec<Problem> {
    let mut problems = Vec::new();
    let version_help = "name the column that says which row is newer: version = \"updated_at\"";
    let mut missing_version = false;
    for (path, strategy) in conflict_strategies(policy) {
        if strategy.compares_versions() && policy.version.is_none() {
            missing_version = true;
            let message = "this strategy compares versions, and no `version` is given";
            problems.push(Problem::new(&path, message).help(version_help));
        }
        if matches!(strategy, Strategy::Sum | Strategy::JsonMerge)
            && policy.base == BaseFrom::ShadowHash
        {
            let message = format!(
                "`{}` needs the value before, of which base = \"shadow_hash\" keeps only a hash",
                strategy.name()
            );
            problems.push(Problem::new(&path, message).help("write base = \"shadow\""));
        }
    }
    problems.extend(conflict::check_syntax(policy));
    if policy.detect == Some(Detect::Version) && policy.version.is_none() {
        missing_version = true;
        let message = "this detection compares versions, and no `version` is given";
        problems.push(Problem::new(&["conflict", "detect"], message).help(version_help));
    }
    let options = [
        ("threshold", &policy.threshold, true),
        ("max_skew", &policy.max_skew, false),
    ];
    for (name, value, may_be_number) in options {
        let Some(text) = value else { continue };
        if policy.version.is_none() && !missing_version {
            let message = format!("`{name}` compares versions, and no `version` is given");
            problems.push(Problem::new(&["conflict", name], message).help(version_help));
        }
        let is_number = text.trim().parse::<f64>().is_ok_and(|number| number >= 0.0);
        if duration_us(name, text).is_err() && !(may_be_number && is_number) {
            let (message, help) = if may_be_number {
                (
                    "neither a duration nor a number",
                    "write for example \"250ms\", \"5s\" or \"1h\" where the version is an instant, \"10\" where it is a number",
                )
            } else {
                (
                    "not a duration",
                    "write for example \"250ms\", \"5s\", \"10m\", \"2h\" or \"1d\"",
                )
            };
            problems.push(Problem::new(&["conflict", name], message).help(help));
        }
    }
    if let Some(history) = &policy.history {
        problems.extend(check_history(history));
    }
    problems
}

/// Every strategy with where it stands.
fn conflict_strategies(policy: &ConflictPolicy) -> impl Iterator<Item = (Vec<&str>, &Strategy)> {
    let of_sink = (vec!["conflict", "strategy"], &policy.strategy);
    let of_columns = policy
        .columns
        .iter()
        .map(|(column, strategy)| (vec!["conflict", "columns", column.as_str()], strategy));
    std::iter::once(of_sink).chain(of_columns)
}

fn check_history(history: &History) -> Vec<Problem> {
    let mut problems = Vec::new();
    let path = ["conflict", "history", "path"];
    match (history.to, &history.path) {
        (HistoryPlace::File, None) => {
            let help = "write for example path = \"state/conflicts/billing.jsonl\"";
            let message = "a history in a file needs its `path`";
            problems.push(Problem::new(&["conflict", "history"], message).help(help));
        }
        (HistoryPlace::Table, Some(_)) => {
            let message = "`path` concerns a history in a file, and this one is in a table";
            problems.push(Problem::new(&path, message).help("write to = \"file\""));
        }
        _ => {}
    }
    if duration_us("age_max", &history.age_max).is_err() {
        let help = "write for example \"12h\" or \"30d\"";
        problems
            .push(Problem::new(&["conflict", "history", "age_max"], "not a duration").help(help));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: &str, expect: &[(&str, &str)]) {
        let policy: ConflictPolicy = toml::from_str(policy).expect("it is a policy");
        let problems = check_conflict(&policy);
        let found: Vec<(&str, &str)> = problems
            .iter()
            .map(|problem| (problem.path[1].as_str(), problem.message.as_str()))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_key_names_columns() {
        let check = |key: &[&str], expect: bool| {
            let mut sink = syncline_connectors::postgres::PostgresSink::new("postgres://h/d");
            sink.options.key = Some(key.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(
                check_sink(&(std::sync::Arc::new(sink) as SinkConfig)).is_empty(),
                expect
            );
        };
        check(&["id"], true);
        check(&[], false);
    }

    #[test]
    fn a_url_of_postgres_can_be_read() {
        let check = |url: &str, expect: bool| {
            let sink = syncline_connectors::postgres::PostgresSink::new(url);
            let problems = check_sink(&(std::sync::Arc::new(sink) as SinkConfig));
            let wrong = problems.iter().find(|problem| problem.path == ["url"]);
            assert_eq!(wrong.is_none(), expect, "{url}");
            assert!(wrong.is_none_or(|problem| !problem.message.contains("canary")));
        };
        check("postgres://me:p%40ss@h:5432/d?sslmode=require", true);
        check("postgresql:///d?host=/run/postgresql", true);
        check("canary", false);
        check("mysql://me:canary@h/d", false);
        check("postgres://me:canary@h:port/d", false);
    }

    #[test]
    fn a_url_of_mysql_can_be_read_and_names_a_database() {
        let check = |url: &str, expect: bool| {
            let sink = syncline_connectors::mysql::MysqlSink::new(url);
            let problems = check_sink(&(std::sync::Arc::new(sink) as SinkConfig));
            let wrong = problems.iter().find(|problem| problem.path == ["url"]);
            assert_eq!(wrong.is_none(), expect, "{url}");
            assert!(wrong.is_none_or(|problem| !problem.message.contains("canary")));
        };
        check("mysql://me:p%40ss@h:3306/d?ssl-mode=REQUIRED", true);
        check("mariadb://me@h/d", true);
        check("mysql://me:canary@h", false);
        check("mysql://me:canary@h/d?ssl-mode=perhaps", false);
        check("postgres://me:canary@h/d", false);
    }

    #[test]
    fn settings_of_a_conflict_agree() {
        let unversioned = "this strategy compares versions, and no `version` is given";
        check("", &[]);
        check("strategy = 'newest_wins'", &[("strategy", unversioned)]);
        check("strategy = 'merge'", &[]);
        check("columns.notes = 'newest_wins'", &[("columns", unversioned)]);
        check(
            "columns.total = 'sum'\nbase = 'shadow_hash'",
            &[(
                "columns",
                "`sum` needs the value before, of which base = \"shadow_hash\" keeps only a hash",
            )],
        );
        check(
            "strategy = 'json_merge'\nbase = 'shadow_hash'",
            &[(
                "strategy",
                "`json_merge` needs the value before, of which base = \"shadow_hash\" keeps only a hash",
            )],
        );
        let columns = |message| [("columns", message)];
        check("columns.x = { expression = 'source.x || target.x' }", &[]);
        check("columns.x = { expression = 'x' }", &columns("no column x"));
        check(
            "columns.x = { expression = 'sorce.x' }",
            &columns("no side sorce"),
        );
        check(
            "columns.x = { expression = 'base' }",
            &columns("base is a whole row"),
        );
        check(
            "columns.x = { expression = 'base.x' }\nbase = 'shadow_hash'",
            &columns("the base is not known: base = \"shadow_hash\" keeps only hashes"),
        );
        check(
            "strategy = { expression = 'source.x +' }",
            &[("strategy", "expected an expression, found the end")],
        );
        check(
            "history.to = 'file'",
            &[("history", "a history in a file needs its `path`")],
        );
        check("history.age_max = 'soon'", &[("history", "not a duration")]);
        check("strategy = 'newest_wins'\nversion = 'v'", &[]);
        check(
            "strategy = 'newest_wins'\nversion = 'v'\nthreshold = '5s'\nmax_skew = '1h'",
            &[],
        );
        check(
            "strategy = 'newest_wins'\nversion = 'v'\nthreshold = '10'",
            &[],
        );
        check(
            "version = 'v'\nmax_skew = '10'",
            &[("max_skew", "not a duration")],
        );
        check(
            "strategy = 'oldest_wins'\nversion = 'v'\nthreshold = 'soon'",
            &[("threshold", "neither a duration nor a number")],
        );
        check(
            "threshold = '5s'",
            &[(
                "threshold",
                "`threshold` compares versions, and no `version` is given",
            )],
        );
    }
}
