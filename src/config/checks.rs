//! What a schema cannot say: settings of one component that must agree with each other, and
//! expressions that must at least be SQL.

use syncline_connectors::conflict::{ConflictPolicy, Strategy};
use syncline_connectors::sql::version::duration_us;

use crate::problem::Problem;

/// What is wrong with `[sinks.NAME.conflict]`; paths begin at the sink.
pub(crate) fn check_conflict(policy: &ConflictPolicy) -> Vec<Problem> {
    let mut problems = Vec::new();
    let by_version = match policy.strategy {
        Strategy::NewestWins | Strategy::OldestWins | Strategy::Merge => true,
        Strategy::SourceWins | Strategy::TargetWins => false,
    };
    if by_version && policy.version.is_none() {
        let message = "this strategy compares versions, and no `version` is given";
        let help = "name the column that says which row is newer: version = \"updated_at\"";
        problems.push(Problem::new(&["conflict", "strategy"], message).help(help));
    }
    let options = [
        ("threshold", &policy.threshold, true),
        ("max_skew", &policy.max_skew, false),
    ];
    for (name, value, may_be_number) in options {
        let Some(text) = value else { continue };
        if policy.version.is_none() && !by_version {
            let message = format!("`{name}` compares versions, and no `version` is given");
            let help = "name the column that says which row is newer: version = \"updated_at\"";
            problems.push(Problem::new(&["conflict", name], message).help(help));
        }
        let is_number = text.trim().parse::<f64>().is_ok_and(|number| number >= 0.0);
        if duration_us(name, text).is_err() && !(may_be_number && is_number) {
            let (message, help) = if may_be_number {
                (
                    "neither a duration nor a number",
                    "write for example \"250ms\", \"5s\" or \"1h\" where the version is an instant, \"10\" where it is a number",
                )
            } else {
                ("not a duration", "write for example \"250ms\", \"5s\", \"10m\", \"2h\" or \"1d\"")
            };
            problems.push(Problem::new(&["conflict", name], message).help(help));
        }
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
    fn settings_of_a_conflict_agree() {
        let unversioned = "this strategy compares versions, and no `version` is given";
        check("", &[]);
        check("strategy = 'newest_wins'", &[("strategy", unversioned)]);
        check("strategy = 'merge'", &[("strategy", unversioned)]);
        check("strategy = 'newest_wins'\nversion = 'v'", &[]);
        check("strategy = 'newest_wins'\nversion = 'v'\nthreshold = '5s'\nmax_skew = '1h'", &[]);
        check("strategy = 'newest_wins'\nversion = 'v'\nthreshold = '10'", &[]);
        check("version = 'v'\nmax_skew = '10'", &[("max_skew", "not a duration")]);
        check(
            "strategy = 'oldest_wins'\nversion = 'v'\nthreshold = 'soon'",
            &[("threshold", "neither a duration nor a number")],
        );
        check(
            "threshold = '5s'",
            &[("threshold", "`threshold` compares versions, and no `version` is given")],
        );
    }
}
