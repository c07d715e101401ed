//! `validate`: holds rows against rules.
//!
//! - Every rule looks at every row; a row that breaks several is reported once, with all reasons, and
//!   meets the hardest of their fates: stop, quarantine, drop, warn.
//! - A null passes every rule but `required`; a check that is null has not failed.
//! - Deletes and truncates are not validated: there is no row after them.
//! - A value that the source did not send (R14) passes: the target's own stays as it is.
//! - Bounds are compared exactly, in the column's own type.

use std::collections::BTreeMap;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, Operation};

use super::scope::Scope;
use super::{Applied, Compiled, Operator, OperatorError, Rejection, problem, remaining};
use crate::function::{self, Clock, Failure};
use crate::problem::Problem;

mod bound;
mod check;
mod format;
mod length;
mod part;
mod rule;

use part::Part;
pub use rule::{Format, Length, LengthBounds, Rule, ValueType};

/// What it does, in one line.
pub const SUMMARY: &str = "holds rows against rules; what breaks one is quarantined";

/// Checks rows against rules; a row that breaks one goes to the quarantine, or what `on_failure` says.
///
/// ```toml
/// [operators.check]
/// type       = "validate"
/// inputs     = ["tidy"]
/// on_failure = "quarantine"
/// rules = [
///   { field = "email",   format = "email" },
///   { field = "balance", min = 0 },
///   { check = "balance < 1000000", message = "balance over the firm's limit" },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateConfig {
    /// The sources or operators whose changes come in.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What becomes of a row that breaks a rule, where the rule does not say it.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The rules; a row is checked against all of them.
    pub rules: Vec<Rule>,
}

/// What becomes of a row that breaks a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes to the quarantine with its reason.
    #[default]
    Quarantine,
    /// It is left out and counted as filtered.
    Drop,
    /// It goes on, and a warning is counted.
    Warn,
    /// The pipeline stops; nothing of the batch is written.
    Stop,
}

struct CompiledRule {
    parts: Vec<Part>,
    field: Option<String>,
    message: Option<String>,
    on_failure: OnFailure,
    /// Whether a warning of it was already logged; the rest is only counted.
    logged: bool,
}

struct Validate {
    name: String,
    scope: Scope,
    schema: SchemaRef,
    rules: Vec<CompiledRule>,
}

pub(super) fn compile(
    name: &str,
    config: &ValidateConfig,
    schema: &SchemaRef,
    clock: Clock,
) -> Compiled {
    let scope = Scope::new(schema, clock);
    let mut problems = check_shape(config);
    let mut rules = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        let mut found = Vec::new();
        let parts = part::compile(rule, schema, &scope, &mut found);
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
        rules.push(CompiledRule {
            parts,
            field: rule.field.clone(),
            message: rule.message.clone(),
            on_failure: rule.on_failure.unwrap_or(config.on_failure),
            logged: false,
        });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Box::new(Validate {
        name: name.to_owned(),
        scope,
        schema: schema.clone(),
        rules,
    }))
}

/// Problems that need no schema, but for those of the expressions.
fn check_shape(config: &ValidateConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.rules.is_empty() {
        problems.push(
            Problem::new(&["rules"], "there are no rules")
                .help("add one, as in { field = \"email\", format = \"email\" }"),
        );
    }
    for (index, rule) in config.rules.iter().enumerate() {
        let found = rule::check_shape(rule);
        let at_rule = ["rules", &index.to_string()];
        problems.extend(found.into_iter().map(|problem| problem.under(&at_rule)));
    }
    problems
}

pub(super) fn check_without_schema(config: &ValidateConfig) -> Vec<Problem> {
    let mut problems = check_shape(config);
    for (index, rule) in config.rules.iter().enumerate() {
        if let Some(text) = &rule.check
            && let Err(error) = function::references(text)
        {
            problems.push(problem(&["rules", &index.to_string(), "check"], *error));
        }
    }
    problems
}

pub(super) fn computed_columns(config: &ValidateConfig) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in &config.rules {
        names.extend(rule.field.clone());
        let text = rule.check.as_deref();
        names.extend(text.and_then(|text| function::references(text).ok()).unwrap_or_default());
    }
    names
}

pub(super) fn required_columns(
    config: &ValidateConfig,
    wanted: Option<&[String]>,
) -> Option<Vec<String>> {
    let mut required = wanted?.to_vec();
    for rule in &config.rules {
        required.extend(rule.field.clone());
        if let Some(text) = &rule.check {
            required.extend(function::references(text).ok()?);
        }
    }
    Some(required)
}

/// A part that some rows of a batch break.
struct Breach {
    /// Index of the rule, and of its part.
    rule: usize,
    part: usize,
    rows: BooleanBuffer,
    /// The rows for which a condition cannot even be computed.
    failures: Vec<Failure>,
}

/// What becomes of a row, and the breaches that say why.
struct Verdict {
    on_failure: OnFailure,
    breaches: Vec<usize>,
}

impl Operator for Validate {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let breaches = self.breaches(&changes);
        let verdicts = self.verdicts(&breaches);
        let mut rejected = Vec::new();
        let (mut filtered, mut warned) = (0, 0);
        for (&row, verdict) in &verdicts {
            match verdict.on_failure {
                OnFailure::Warn => {
                    warned += 1;
                    self.log_once(verdict, &breaches);
                }
                OnFailure::Drop => filtered += 1,
                OnFailure::Quarantine => {
                    rejected.push(self.rejection(row, &changes, verdict, &breaches));
                }
                OnFailure::Stop => {
                    let rejection = self.rejection(row, &changes, verdict, &breaches);
                    let origin = rejection.origin as usize;
                    return Err(OperatorError::Stop(format!(
                        "operator {} stops at {} offset {}: {} ({}): mend the row at its source, or \
                         set another on_failure",
                        self.name,
                        changes.records.partition(origin).partition,
                        changes.records.entries[origin].offset,
                        rejection.reason,
                        rejection.rule,
                    )));
                }
            }
        }
        let is_gone = |row: usize| {
            verdicts
                .get(&row)
                .is_some_and(|verdict| verdict.on_failure != OnFailure::Warn)
        };
        let gone = rejected.len() + filtered as usize;
        Ok(Applied {
            changes: remaining(changes, is_gone, gone)?,
            rejected,
            filtered,
            warned,
        })
    }
}

impl Validate {
    /// Every part that some row breaks, in the order of the rules.
    fn breaches(&self, changes: &Changes) -> Vec<Breach> {
        let values = self.scope.enter(changes);
        let has_row_after = |row: usize| {
            !matches!(
                changes.operations[row],
                Operation::Delete | Operation::Truncate
            )
        };
        let all_have = (0..changes.len()).all(has_row_after);
        let validated =
            (!all_have).then(|| BooleanBuffer::collect_bool(changes.len(), has_row_after));

        let mut breaches = Vec::new();
        for (rule_index, rule) in self.rules.iter().enumerate() {
            for (part_index, part) in rule.parts.iter().enumerate() {
                let (mut rows, failures) = part.broken(changes, &values);
                if let Some(validated) = &validated {
                    rows = &rows & validated;
                }
                if rows.count_set_bits() > 0 {
                    breaches.push(Breach {
                        rule: rule_index,
                        part: part_index,
                        rows,
                        failures,
                    });
                }
            }
        }
        breaches
    }

    fn verdicts(&self, breaches: &[Breach]) -> BTreeMap<usize, Verdict> {
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        for (index, breach) in breaches.iter().enumerate() {
            let on_failure = self.rules[breach.rule].on_failure;
            for row in breach.rows.set_indices() {
                let verdict = verdicts.entry(row).or_insert(Verdict {
                    on_failure,
                    breaches: Vec::new(),
                });
                verdict.breaches.push(index);
                if on_failure.hardness() > verdict.on_failure.hardness() {
                    verdict.on_failure = on_failure;
                }
            }
        }
        verdicts
    }

    /// The first rule that decides the row's fate, and every reason against the row.
    fn rejection(
        &self,
        row: usize,
        changes: &Changes,
        verdict: &Verdict,
        breaches: &[Breach],
    ) -> Rejection {
        let of_row = || verdict.breaches.iter().map(|&index| &breaches[index]);
        let first = of_row()
            .find(|breach| self.rules[breach.rule].on_failure == verdict.on_failure)
            .expect("a verdict is that of one of its breaches");
        let mut reasons: Vec<String> = Vec::new();
        for breach in of_row() {
            let rule = &self.rules[breach.rule];
            let failure = breach.failures.iter().find(|failure| failure.row == row);
            let reason = match (&rule.message, failure) {
                (Some(message), _) => message.clone(),
                (None, Some(failure)) => {
                    format!("the check cannot be computed: {}", failure.reason)
                }
                (None, None) => rule.parts[breach.part].reason().to_owned(),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let rule = &self.rules[first.rule];
        Rejection {
            origin: changes.origins[row],
            rule: rule.parts[first.part].rule().to_owned(),
            field: rule.field.clone(),
            reason: reasons.join("; "),
        }
    }

    /// Says once that a rule is broken; a line for every batch would fill the log.
    fn log_once(&mut self, verdict: &Verdict, breaches: &[Breach]) {
        for &index in &verdict.breaches {
            let rule = &mut self.rules[breaches[index].rule];
            if !rule.logged {
                rule.logged = true;
                tracing::warn!(
                    operator = self.name,
                    rule = rule.parts[breaches[index].part].rule(),
                    "a row broke a rule that only warns; further ones are only counted"
                );
            }
        }
    }
}

impl OnFailure {
    /// Among several broken rules the hardest decides.
    fn hardness(self) -> u8 {
        match self {
            Self::Warn => 0,
            Self::Drop => 1,
            Self::Quarantine => 2,
            Self::Stop => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
        Int32Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Int32Type, Schema};
    use expect_test::{Expect, expect};
    use syncline_connectors::change::{Logical, Table};
    use syncline_connectors::record::Records;

    use super::super::testing::{
        changes, changes_with_before, show_applied, show_before, show_problems,
    };
    use super::super::{OperatorConfig, check_without_schema, compile, required_columns};
    use super::*;

    fn config(text: &str) -> OperatorConfig {
        OperatorConfig::Validate(toml::from_str(text).expect(text))
    }

    /// Inserts of one column, `x`.
    fn column(field: Field, array: ArrayRef) -> Changes {
        let mut records = Records::default();
        let partition = records.add_partition(
            &syncline_connectors::record::Partition {
                topic: Arc::from("t"),
                number: 0,
            },
            true,
        );
        let rows = array.len();
        for row in 0..rows {
            records.push(partition, row as i64, None, None, None, None);
        }
        let schema = Arc::new(Schema::new(vec![field.with_name("x").with_nullable(true)]));
        Changes {
            table: Arc::new(Table {
                topic: Arc::from("t"),
                database: None,
                schema: None,
                name: Arc::from("t"),
            }),
            key: None,
            rows: RecordBatch::try_new(schema, vec![array]).expect("one column"),
            unset: vec![None],
            before: None,
            not_carried: Vec::new(),
            operations: vec![Operation::Create; rows],
            event_times_ms: vec![None; rows],
            origins: (0..rows as u32).collect(),
            records: Arc::new(records),
        }
    }

    fn plain(array: ArrayRef) -> Changes {
        let data_type = array.data_type().clone();
        column(Field::new("x", data_type, true), array)
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    /// The rows that break a rule of column `x`.
    fn broken(changes: &Changes, rule: &str) -> Result<Vec<u32>, String> {
        let settings = config(&format!("rules = [{{ field = 'x', {rule} }}]"));
        let mut validate = compile("check", &settings, &changes.schema())
            .map_err(|problems| show_problems(&problems))?;
        let applied = validate.apply(changes.clone()).expect("goes on");
        Ok(applied
            .rejected
            .iter()
            .map(|rejection| rejection.origin)
            .collect())
    }

    #[test]
    fn rows_before_go_with_their_changes_unseen() {
        let changes = changes_with_before();
        let settings = config("rules = [{ field = 'balance', min = 0 }]");
        let mut validate = compile("check", &settings, &changes.schema()).expect("compiles");
        let applied = validate.apply(changes).expect("goes on");
        expect![[r#"
            0 c | 5 | null | open | 1000000.00 | {}
            2 d | 4 | d@x.org | draft | 5.00 | null
            3 d | 2 | b@y | draft | -1.00 | ?
            4 none
            5 none
        "#]]
        .assert_eq(&show_before(&applied.changes));
    }

    #[test]
    fn every_kind_of_rule() {
        let check = |changes: &Changes, rule: &str, expect: &[u32]| {
            assert_eq!(broken(changes, rule).as_deref(), Ok(expect), "{rule}");
        };
        let words = plain(texts(&[
            Some("open"),
            Some(""),
            None,
            Some("närrisch"),
            Some("42"),
        ]));
        check(&words, "required = true", &[2]);
        check(&words, "required = false, length = { min = 0 }", &[]);
        check(&words, "length = 4", &[1, 3, 4]);
        check(&words, "length = 8", &[0, 1, 4]);
        check(&words, "length = { min = 1, max = 4 }", &[1, 3]);
        check(&words, "pattern = '^[a-z]+$'", &[1, 3, 4]);
        check(&words, "one_of = ['open', '42']", &[1, 3]);
        check(&words, "one_of = ['open', 42]", &[1, 3]);
        check(&words, "type = 'integer'", &[0, 1, 3]);
        check(&words, "type = 'string'", &[]);
        check(&words, "type = 'json'", &[0, 1, 3]);
        check(&words, "check = \"x <> 'open'\"", &[0]);
        check(&words, "format = 'email'", &[0, 1, 3, 4]);
        check(
            &words,
            "type = 'integer', length = 2, required = true",
            &[0, 1, 2, 3],
        );

        let forms = plain(texts(&[
            Some("a@b.org"),
            Some("https://b.org"),
            Some("123e4567-e89b-12d3-a456-426614174000"),
            Some("2026-02-28"),
            Some("2026-02-28T10:00:00Z"),
            Some("::1"),
            None,
        ]));
        for (index, form) in ["email", "url", "uuid", "date", "datetime", "ip"]
            .iter()
            .enumerate()
        {
            let others: Vec<u32> = (0..6).filter(|&other| other != index as u32).collect();
            check(&forms, &format!("format = '{form}'"), &others);
        }
        check(&forms, "type = 'date'", &[0, 1, 2, 4, 5]);
        check(&forms, "type = 'timestamp'", &[0, 1, 2, 3, 5]);
        check(&forms, "type = 'uuid'", &[0, 1, 3, 4, 5]);

        let numbers = plain(Arc::new(Int32Array::from(vec![
            Some(-1),
            Some(0),
            Some(5),
            None,
        ])));
        check(&numbers, "min = 0", &[0]);
        check(&numbers, "max = 0", &[2]);
        check(&numbers, "min = 0.5, max = 5", &[0, 1]);
        check(&numbers, "min = '0'", &[0]);
        check(&numbers, "one_of = [0, 5]", &[0]);
        check(&numbers, "type = 'integer'", &[]);
        check(&numbers, "check = 'x + 1 > 0'", &[0]);

        let money = Decimal128Array::from(vec![Some(0), Some(1), Some(999_999_999_999), None])
            .with_precision_and_scale(12, 2)
            .expect("fits");
        let money = plain(Arc::new(money));
        check(&money, "min = 0.005", &[0]);
        check(&money, "min = '0.005'", &[0]);
        check(&money, "max = 0.01", &[2]);
        check(&money, "max = 9999999999.98", &[2]);
        check(&money, "one_of = [0, '0.01']", &[2]);

        let floats = plain(Arc::new(Float64Array::from(vec![0.1, 2.5, f64::NAN])));
        check(&floats, "max = 2.5", &[2]);
        check(&floats, "min = 0.1", &[]);

        let numeric = texts(&[
            Some("12345678901234567890.1"),
            Some("NaN"),
            Some("-0.5"),
            None,
        ]);
        let numeric = column(Logical::Numeric.field("x"), numeric);
        check(&numeric, "min = 0", &[1, 2]);
        check(&numeric, "max = '12345678901234567890'", &[0, 1]);
        check(&numeric, "one_of = [-0.50]", &[0, 1]);

        let dates = plain(Arc::new(Date32Array::from(vec![
            Some(0),
            Some(20_000),
            None,
        ])));
        check(&dates, "min = 2000-01-01", &[0]);
        check(&dates, "max = '2000-01-01'", &[1]);
        let instants = TimestampMicrosecondArray::from(vec![0, i64::MAX]).with_timezone("UTC");
        let instants = plain(Arc::new(instants));
        check(&instants, "min = 2000-01-01T00:00:00Z", &[0]);
        check(&instants, "max = 2000-01-01T00:00:00Z", &[1]);

        let flags = plain(Arc::new(BooleanArray::from(vec![
            Some(true),
            Some(false),
            None,
        ])));
        check(&flags, "one_of = [true]", &[1]);
        check(&flags, "check = 'x'", &[1]);

        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            Some(vec![]),
            None,
        ]);
        check(&plain(Arc::new(lists)), "length = { min = 1 }", &[1]);
        let bytes = plain(Arc::new(BinaryArray::from(vec![&b"ab"[..], b""])));
        check(&bytes, "length = 2", &[1]);
    }

    #[test]
    fn a_rule_that_does_not_fit_its_column_is_told() {
        let check = |changes: &Changes, rule: &str, expect: &str| {
            let problem = broken(changes, rule).expect_err(rule);
            assert_eq!(problem.trim_end(), expect, "{rule}");
        };
        let words = plain(texts(&[None]));
        let numbers = plain(Arc::new(Int32Array::from(vec![1])));
        let json = column(Logical::Json.field("x"), texts(&[None]));
        check(
            &words,
            "min = 0",
            "rules.0.min: x is text, which has no order; min needs a number, a date or a time",
        );
        check(
            &json,
            "max = 0",
            "rules.0.max: x is json, which has no order; max needs a number, a date or a time",
        );
        check(
            &numbers,
            "format = 'email'",
            "rules.0.format: x is int32, and this can only be asked of a text",
        );
        check(
            &numbers,
            "length = 3",
            "rules.0.length: x is int32, which has no length",
        );
        check(
            &numbers,
            "type = 'date'",
            "rules.0.type: x is int32, never date",
        );
        check(&numbers, "min = 'many'", "rules.0.min: many is no int32");
        check(
            &numbers,
            "max = 3000000000",
            "rules.0.max: 3000000000 is no int32",
        );
        check(
            &numbers,
            "one_of = [1.5]",
            "rules.0.one_of: 1.5 is no int32",
        );
        check(
            &numbers,
            "min = 1.23456789012345678",
            "rules.0.min: a number of more than fifteen digits is not exact: write it in quotes",
        );
    }

    #[test]
    fn all_problems_of_the_rules_are_told_at_once() {
        let text = r#"
        rules = [
          { field = "emial", format = "email" },
          { min = 0 },
          { field = "id" },
          { field = "email", pattern = "(" },
          { field = "id", min = 5, max = 1 },
          { field = "email", length = { min = 5, max = 1 }, one_of = [] },
          { check = "balance" },
          { check = "lower(balance) = 'x'" },
        ]
        "#;
        let Err(problems) = compile("check", &config(text), &changes().schema()) else {
            panic!("compiles");
        };
        expect![[r#"
            rules.1.min: min needs a field that it is about
            rules.2: the rule asks for nothing (give it required, type, format, min, max, length, pattern, one_of or check)
            rules.3.pattern: the pattern is no regular expression: unclosed group
            rules.4.min: min is greater than max
            rules.5.length: min is greater than max
            rules.5.one_of: no value is allowed
            rules.0.field: no column emial (did you mean email?)
            rules.6.check 0..7: expected a condition, found decimal(12, 2) (compare it with something, as in status = 'open')
            rules.7.check 6..13: lower does not take decimal(12, 2) here (it takes lower(String))
        "#]].assert_eq(&show_problems(&problems));
        let problems = check_without_schema(&config("rules = [{ check = 'a b' }, { max = 1 }]"));
        expect![[r#"
            rules.1.max: max needs a field that it is about
            rules.0.check 2..3: expected the end of the expression, found b
        "#]]
        .assert_eq(&show_problems(&problems));
        let problems = check_without_schema(&config("rules = []"));
        expect![[r#"
            rules: there are no rules (add one, as in { field = "email", format = "email" })
        "#]]
        .assert_eq(&show_problems(&problems));
    }

    fn check(text: &str, expect: Expect) {
        let changes = changes();
        let mut validate = match compile("check", &config(text), &changes.schema()) {
            Ok(validate) => validate,
            Err(problems) => panic!("{}", show_problems(&problems)),
        };
        let count = changes.len();
        let shown = match validate.apply(changes) {
            Ok(applied) => show_applied(count, &applied),
            Err(error) => format!("{error}\n"),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn a_row_is_rejected_once_with_all_reasons() {
        check(
            r#"rules = [
              { field = "email", format = "email" },
              { field = "balance", min = 0 },
              { check = "balance < 1000000", message = "balance over the firm's limit" },
            ]"#,
            expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                rejected 0 Some("email") format = "email": email is not an e-mail address
                rejected 1 Some("email") format = "email": email is not an e-mail address; balance is less than 0
                rejected 5 None check = "balance < 1000000": balance over the firm's limit
                filtered 0 warned 0
            "#]],
        );
    }

    #[test]
    fn the_hardest_fate_is_the_rows() {
        let rules = |fates: [&str; 2]| {
            format!(
                r#"rules = [
                  {{ field = "email", format = "email", on_failure = "{}" }},
                  {{ field = "balance", min = 0, on_failure = "{}" }},
                ]"#,
                fates[0], fates[1]
            )
        };
        check(
            &rules(["warn", "drop"]),
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 1 warned 1
        "#]],
        );
        check(
            &rules(["drop", "quarantine"]),
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            rejected 1 Some("balance") min = 0: email is not an e-mail address; balance is less than 0
            filtered 1 warned 0
        "#]],
        );
        check(
            &rules(["warn", "warn"]),
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            r | 5 | null | open | 1000000.00 | {}
            filtered 0 warned 2
        "#]],
        );
        check(
            &rules(["warn", "stop"]),
            expect![[r#"
            operator check stops at crm.public.clients[3] offset 101: email is not an e-mail address; balance is less than 0 (min = 0): mend the row at its source, or set another on_failure
        "#]],
        );
    }

    #[test]
    fn on_failure_stands_for_the_rules_that_do_not_say() {
        check(
            "on_failure = 'drop'\nrules = [{ field = 'balance', min = 0 }]",
            expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                c | 1 |  A@x.Org | open | 10.50 | {"a":1}
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                r | 5 | null | open | 1000000.00 | {}
                filtered 1 warned 0
            "#]],
        );
    }

    #[test]
    fn deletes_truncates_and_unset_values_pass() {
        check(
            r#"rules = [
              { field = "notes", required = true },
              { field = "status", one_of = ["open"], on_failure = "warn" },
              { check = "notes is not null" },
              { check = "_op <> 'd'" },
            ]"#,
            expect![[r#"
                key Some(["id"]): id | email | status | balance | notes
                c | 1 |  A@x.Org | open | 10.50 | {"a":1}
                u | 2 | b@y | draft | -1.00 | ?
                d | 3 | ? | ? | ? | ?
                d | 4 | d@x.org | draft | 5.00 | null
                t | ? | ? | ? | ? | ?
                r | 5 | null | open | 1000000.00 | {}
                filtered 0 warned 1
            "#]],
        );
    }

    #[test]
    fn a_check_that_cannot_be_computed_is_broken() {
        check(
            "rules = [{ check = '10 / (id - 5) < 100' }]",
            expect![[r#"
            key Some(["id"]): id | email | status | balance | notes
            c | 1 |  A@x.Org | open | 10.50 | {"a":1}
            u | 2 | b@y | draft | -1.00 | ?
            d | 3 | ? | ? | ? | ?
            d | 4 | d@x.org | draft | 5.00 | null
            t | ? | ? | ? | ? | ?
            rejected 5 None check = "10 / (id - 5) < 100": the check cannot be computed: division by zero
            filtered 0 warned 0
        "#]],
        );
    }

    #[test]
    fn what_it_looks_at_is_decoded() {
        let settings = config("rules = [{ field = 'a', required = true }, { check = 'b < a' }]");
        let wanted = ["c".to_owned()];
        let required = required_columns(&settings, Some(&wanted));
        assert_eq!(
            required,
            Some(vec!["c".to_owned(), "a".to_owned(), "b".to_owned()])
        );
    }
}
