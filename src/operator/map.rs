//! `map`: builds the rows that go on, column by column, from expressions.
//!
//! - A column that is only taken along or renamed keeps its array and its type, also one that Arrow
//!   cannot say ([`Logical`](syncline_connectors::change::Logical)).
//! - A value that depends on one that the source did not send is not sent either (R14, R19): an
//!   unavailable one makes it unavailable, a column that an update does not carry makes it a column that
//!   the update does not carry. A column that an insert does not carry is null.
//! - A value that is computed from columns that no schema declares is undeclared, too, unless it is cast.
//! - Deletes are mapped as well: their image is what the target's row is compared with.
//! - A row for which an expression has no value is rejected; the rest goes on.
//! - The row before of a change is mapped by the same expressions; one for which an expression has no
//!   value is not known from there on, and the change goes on all the same.
//! - The key follows its columns to their new names. Where a key column does not go out as it came
//!   in, the changes go out without a key, and the sink must state its own.

mod image;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncline_connectors::change::{Changes, has_no_kind, is_undeclared, undeclared, without_kind};

use super::literal::Texts;
use super::scope::{Scope, Values};
use super::{Applied, Compiled, Operator, OperatorError, Rejection, problem, remaining, unknown};
use crate::function::{self, Clock, Expression, Failure};
use crate::problem::Problem;

/// What it does, in one line.
pub const SUMMARY: &str = "chooses, renames and computes columns";

/// Chooses, renames and computes columns.
///
/// ```toml
/// [operators.tidy]
/// type   = "map"
/// inputs = ["crm"]
/// fields.id    = "id"
/// fields.name  = "trim(first_name) || ' ' || trim(last_name)"
/// fields.email = "normalize_email(email)"
/// ```
///
/// ```toml
/// [operators.slim]
/// type   = "map"
/// inputs = ["crm"]
/// drop   = ["internal_notes"]
/// rename = { created = "created_at" }
/// set.email = "normalize_email(email)"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapConfig {
    /// The sources or operators whose changes come in.
    pub inputs: Vec<String>,
    /// The columns that go out, each with the SQL expression that gives its value; no other column
    /// goes out. Excludes the four settings below.
    pub fields: Texts,
    /// The columns that go on; all others are left out.
    pub keep: Vec<String>,
    /// The columns that are left out; all others go on.
    pub drop: Vec<String>,
    /// Columns that go on under a new name: `old = "new"`.
    pub rename: Texts,
    /// Columns that are added, or replaced, by the value of an SQL expression over the columns that
    /// come in; all others go on.
    pub set: Texts,
}

impl MapConfig {
    /// The column that comes in as `output`, where it goes on as it is; `None` where `output` is
    /// computed or does not go on.
    pub fn column_behind(&self, output: &str) -> Option<String> {
        let computed = if self.fields.is_empty() {
            &self.set
        } else {
            &self.fields
        };
        if let Some((_, text)) = computed.iter().find(|(name, _)| *name == output) {
            let [column] = &function::references(text).ok()?[..] else {
                return None;
            };
            let plain = text.trim();
            return (plain == column || plain == format!("\"{column}\"")).then(|| column.clone());
        }
        if !self.fields.is_empty() {
            return None;
        }
        let renamed = self.rename.iter().find(|(_, new)| *new == output);
        let column = renamed.map_or(output, |(old, _)| old);
        let kept = self.keep.is_empty() || self.keep.iter().any(|name| name == column);
        let gone = self.drop.iter().any(|name| name == column)
            || (renamed.is_none() && self.rename.iter().any(|(old, _)| old == column));
        (kept && !gone).then(|| column.to_owned())
    }
}

/// What a column of the rows that go on is made of.
#[derive(Debug)]
enum Output {
    /// The column of this index, as it is.
    Column(usize),
    /// The value of an expression.
    Computed {
        expression: Expression,
        rule: String,
    },
}

/// For each column the rows of which something holds; `None` where it holds of none.
type Masks = Vec<Option<BooleanBuffer>>;

#[derive(Debug)]
struct Map {
    scope: Scope,
    outputs: Vec<Output>,
    schema: SchemaRef,
}

pub(super) fn compile(config: &MapConfig, schema: &SchemaRef, clock: Clock) -> Compiled {
    let mut problems = check_shape(config);
    let scope = Scope::new(schema, clock);
    let mut outputs: Vec<(Field, Output)> = Vec::new();
    if config.fields.is_empty() {
        passed_on(config, schema, &mut outputs, &mut problems);
    }
    for (setting, texts) in [("fields", &config.fields), ("set", &config.set)] {
        for (name, text) in texts.iter() {
            match compile_output(&scope, schema, setting, name, text) {
                Ok(output) => match outputs.iter_mut().find(|(field, _)| field.name() == name) {
                    Some(replaced) => *replaced = output,
                    None => outputs.push(output),
                },
                Err(found) => problems.push(found),
            }
        }
    }
    if problems.is_empty() && outputs.is_empty() {
        problems.push(Problem::new(&[], "no column is left"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (fields, outputs): (Vec<Field>, Vec<Output>) = outputs.into_iter().unzip();
    Ok(Box::new(Map {
        scope,
        outputs,
        schema: Arc::new(Schema::new(fields)),
    }))
}

fn compile_output(
    scope: &Scope,
    schema: &SchemaRef,
    setting: &str,
    name: &str,
    text: &str,
) -> Result<(Field, Output), Problem> {
    let expression = scope
        .compile(text)
        .map_err(|error| problem(&[setting, name], *error))?;
    Ok(match scope.as_column(&expression) {
        Some(index) => {
            let field = schema.field(index).clone().with_name(name);
            (field, Output::Column(index))
        }
        None => {
            let field = Field::new(name, expression.data_type().clone(), true);
            let field = match (follows_values(schema, &expression, text), field.data_type()) {
                (true, DataType::Null) => without_kind(name),
                (true, _) => undeclared(field),
                (false, _) => field,
            };
            let rule = format!("{setting}.{name} = \"{text}\"");
            (field, Output::Computed { expression, rule })
        }
    })
}

/// Whether the type of an expression is no more than that of the values at hand: it is computed from
/// columns that no schema declares, and not cast.
fn follows_values(schema: &SchemaRef, expression: &Expression, text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let is_cast = text.starts_with("cast(") || text.starts_with("try_cast(") || text.contains("::");
    let is_plain = matches!(
        expression.data_type(),
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8
    );
    let mut columns = expression.columns().iter();
    let fields = schema.fields();
    !is_cast
        && is_plain
        && columns.any(|&index| fields.get(index).is_some_and(|field| is_undeclared(field)))
}

/// The columns that go on by `keep`, `drop` and `rename`.
fn passed_on(
    config: &MapConfig,
    schema: &SchemaRef,
    outputs: &mut Vec<(Field, Output)>,
    problems: &mut Vec<Problem>,
) {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    for (setting, columns) in [("keep", &config.keep), ("drop", &config.drop)] {
        for (index, column) in columns.iter().enumerate() {
            if !names.contains(&column.as_str()) {
                problems.push(unknown(&[setting, &index.to_string()], column, &names));
            }
        }
    }
    for (old, _) in config.rename.iter() {
        if !names.contains(&old) {
            problems.push(unknown(&["rename", old], old, &names));
        } else if !goes_on(config, old) {
            problems.push(Problem::new(
                &["rename", old],
                format!("column {old} is renamed, but does not go on"),
            ));
        }
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if !goes_on(config, field.name()) {
            continue;
        }
        let name = renamed(config, field.name());
        if outputs.iter().any(|(taken, _)| taken.name() == name) {
            problems.push(
                Problem::new(&["rename"], format!("two columns would be named {name}"))
                    .help("drop one of them, or give it another name"),
            );
            continue;
        }
        let field = field.as_ref().clone().with_name(name);
        outputs.push((field, Output::Column(index)));
    }
}

fn goes_on(config: &MapConfig, column: &str) -> bool {
    let is_in = |columns: &[String]| columns.iter().any(|name| name == column);
    (config.keep.is_empty() || is_in(&config.keep)) && !is_in(&config.drop)
}

fn renamed<'a>(config: &'a MapConfig, column: &'a str) -> &'a str {
    let new = config.rename.iter().find(|(old, _)| *old == column);
    new.map_or(column, |(_, new)| new)
}

/// Problems that need no schema, but for those of the expressions.
fn check_shape(config: &MapConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let shorthands = [
        ("keep", config.keep.is_empty()),
        ("drop", config.drop.is_empty()),
        ("rename", config.rename.is_empty()),
        ("set", config.set.is_empty()),
    ];
    let used = shorthands.iter().filter(|(_, is_empty)| !is_empty);
    if config.fields.is_empty() {
        if used.count() == 0 {
            problems.push(
                Problem::new(&[], "the map changes nothing")
                    .help("give it fields, or keep, drop, rename or set"),
            );
        }
    } else {
        problems.extend(used.map(|(setting, _)| {
            Problem::new(&[setting], format!("{setting} cannot stand beside fields"))
                .help("fields names every column that goes out; use set to compute some and keep the rest")
        }));
    }
    if !config.keep.is_empty() && !config.drop.is_empty() {
        problems.push(
            Problem::new(&["drop"], "drop cannot stand beside keep")
                .help("keep already leaves out all other columns"),
        );
    }
    problems
}

pub(super) fn check_without_schema(config: &MapConfig) -> Vec<Problem> {
    let mut problems = check_shape(config);
    for (setting, texts) in [("fields", &config.fields), ("set", &config.set)] {
        for (name, text) in texts.iter() {
            if let Err(error) = function::references(text) {
                problems.push(problem(&[setting, name], *error));
            }
        }
    }
    problems
}

/// The columns that expressions read, but for those that they only pass on.
pub(super) fn computed_columns(config: &MapConfig) -> Vec<String> {
    let texts = config.fields.iter().chain(config.set.iter());
    let computed = texts.filter(|(name, _)| config.column_behind(name).is_none());
    let references = |(_, text): (&str, &str)| function::references(text).unwrap_or_default();
    computed.flat_map(references).collect()
}

/// The columns that are named to be passed on, renamed or left out.
pub(super) fn passed_columns(config: &MapConfig) -> Vec<String> {
    let texts = config.fields.iter().chain(config.set.iter());
    let behind = texts.filter_map(|(name, _)| config.column_behind(name));
    let listed = config.keep.iter().chain(&config.drop).cloned();
    let renamed = config.rename.iter().map(|(old, _)| old.to_owned());
    behind.chain(listed).chain(renamed).collect()
}

pub(super) fn required_columns(
    config: &MapConfig,
    wanted: Option<&[String]>,
) -> Option<Vec<String>> {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|w| w == name));
    let mut required = Vec::new();
    for (name, text) in config.fields.iter().chain(config.set.iter()) {
        if is_wanted(name) {
            required.extend(function::references(text).ok()?);
        }
    }
    if config.fields.is_empty() {
        let candidates: Vec<&str> = match wanted {
            _ if !config.keep.is_empty() => config.keep.iter().map(String::as_str).collect(),
            // By their names before the renaming.
            Some(wanted) => wanted
                .iter()
                .map(|name| {
                    let old = config.rename.iter().find(|(_, new)| new == name);
                    old.map_or(name.as_str(), |(old, _)| old)
                })
                .collect(),
            None => return None,
        };
        let is_set = |name: &str| config.set.iter().any(|(set, _)| set == name);
        required.extend(
            candidates
                .into_iter()
                .filter(|old| goes_on(config, old))
                .filter(|old| is_wanted(renamed(config, old)) && !is_set(renamed(config, old)))
                .map(str::to_owned),
        );
    }
    Some(required)
}

impl Operator for Map {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&mut self, changes: Changes) -> Result<Applied, OperatorError> {
        let mut rejected: BTreeMap<usize, Rejection> = BTreeMap::new();
        let values = self.scope.enter(&changes);
        let (rows, [unset, not_carried]) =
            self.outputs(&changes, &values, |field, rule, failure| {
                rejected.entry(failure.row).or_insert_with(|| Rejection {
                    origin: changes.origins[failure.row],
                    rule: rule.to_owned(),
                    field: Some(field.name().clone()),
                    reason: failure.reason.to_owned(),
                });
            })?;
        let before = match &changes.before {
            Some(image) => self.image(&changes, image)?,
            None => None,
        };
        let mapped = Changes {
            key: self.key(&changes),
            rows,
            unset,
            not_carried,
            before,
            ..changes
        };
        let is_rejected = |row: usize| rejected.contains_key(&row);
        Ok(Applied {
            changes: remaining(mapped, is_rejected, rejected.len())?,
            rejected: rejected.into_values().collect(),
            filtered: 0,
            warned: 0,
        })
    }
}

impl Map {
    /// The rows that go out, where they are not sent, and where they are not carried. `failed` is told of every value that an
    /// expression does not have: its column, its rule and its row.
    fn outputs(
        &self,
        changes: &Changes,
        values: &Values<'_>,
        mut failed: impl FnMut(&Field, &str, &Failure),
    ) -> Result<(RecordBatch, [Masks; 2]), OperatorError> {
        let mut columns = Vec::with_capacity(self.outputs.len());
        let mut unset = Vec::with_capacity(self.outputs.len());
        let mut not_carried = Vec::with_capacity(self.outputs.len());
        for (field, output) in self.schema.fields().iter().zip(&self.outputs) {
            match output {
                Output::Column(index) => {
                    columns.push(changes.rows.column(*index).clone());
                    unset.push(changes.unset[*index].clone());
                    not_carried.push(changes.not_carried.get(*index).cloned().flatten());
                }
                Output::Computed { expression, rule } => {
                    let known = values.evaluate(expression);
                    columns.push(match has_no_kind(field) {
                        true => new_null_array(field.data_type(), changes.len()),
                        false => known.array,
                    });
                    unset.push(known.unset);
                    not_carried.push(known.not_carried);
                    for failure in &known.failures {
                        failed(field, rule, failure);
                    }
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| OperatorError::Stop(format!("map cannot build its rows: {error}")))?;
        Ok((rows, [unset, not_carried]))
    }

    /// The names under which the key's columns go out; `None` where one of them does not.
    fn key(&self, changes: &Changes) -> Option<Arc<[String]>> {
        let key = changes.key.as_ref()?;
        let schema = changes.rows.schema_ref();
        key.iter()
            .map(|name| {
                let index = schema.index_of(name).ok()?;
                let mut outputs = self.schema.fields().iter().zip(&self.outputs);
                let is_it = |output: &Output| matches!(output, Output::Column(i) if *i == index);
                let same = outputs
                    .clone()
                    .find(|(field, output)| field.name() == name && is_it(output));
                let found = same.or_else(|| outputs.find(|(_, output)| is_it(output)));
                found.map(|(field, _)| field.name().clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use syncline_connectors::change::Logical;

    use super::super::testing::{
        changes, changes_with_before, show_applied, show_before, show_problems,
    };
    use super::super::{OperatorConfig, check_without_schema, compile, required_columns};

    fn config(text: &str) -> OperatorConfig {
        OperatorConfig::Map(toml::from_str(text).expect(text))
    }

    fn check(text: &str, expect: Expect) {
        let changes = changes();
        let mut map = match compile("tidy", &config(text), &changes.schema()) {
            Ok(map) => map,
            Err(problems) => panic!("{text}: {problems:?}"),
        };
        let count = changes.len();
        let applied = map.apply(changes).expect("goes on");
        assert_eq!(applied.changes.schema(), map.schema());
        expect.assert_eq(&show_applied(count, &applied));
    }

    #[test]
    fn fields_are_all_that_goes_out_in_their_order() {
        check(
            r#"
            fields.email = "normalize_email(email)"
            fields.client = "id"
            fields.twice = "balance * 2"
            fields.origin = "'crm'"
            fields.at = "_topic || '/' || cast(_partition as text) || '/' || cast(_offset as text)"
            "#,
            expect![[r#"
                key Some(["client"]): email | client | twice | origin | at
                c | a@x.org | 1 | 21.00 | crm | crm.public.clients/3/100
                u | b@y | 2 | -2.00 | crm | crm.public.clients/3/101
                d | ? | 3 | ? | crm | crm.public.clients/3/102
                d | d@x.org | 4 | 10.00 | crm | crm.public.clients/3/103
                t | ? | ? | ? | ? | ?
                r | null | 5 | 2000000.00 | crm | crm.public.clients/3/105
                filtered 0 warned 0
            "#]],
        );
    }

    #[test]
    fn shorthands_change_a_few_columns_and_keep_the_rest() {
        check(
            r#"
            drop = ["notes", "balance"]
            rename = { status = "state" }
            set.email = "coalesce(normalize_email(email), 'none')"
            set.op = "_op"
            "#,
            expect![[r#"
                key Some(["id"]): id | email | state | op
                c | 1 | a@x.org | open | c
                u | 2 | b@y | draft | u
                d | 3 | ? | ? | d
                d | 4 | d@x.org | draft | d
                t | ? | ? | ? | ?
                r | 5 | none | open | r
                filtered 0 warned 0
            "#]],
        );
        check(
            r#"keep = ["status", "id"]"#,
            expect![[r#"
            key Some(["id"]): id | status
            c | 1 | open
            u | 2 | draft
            d | 3 | ?
            d | 4 | draft
            t | ? | ?
            r | 5 | open
            filtered 0 warned 0
        "#]],
        );
    }

    #[test]
    fn facts_of_a_change_can_be_named() {
        check(
            r#"
            fields.key = "json_text(_key, 'id')"
            fields.trace = "json_text(_headers, 'trace')"
            fields.time = "_timestamp"
            fields.table = "_table"
            fields.late = "_timestamp > timestamp '1970-01-01T00:00:01' and _offset > 102"
            "#,
            expect![[r#"
                key None: key | trace | time | table | late
                c | 1 | t1 | 1970-01-01T00:00:00Z | clients | false
                u | 2 | null | null | clients | false
                d | 3 | null | 1970-01-01T00:00:02Z | clients | false
                d | 4 | null | 1970-01-01T00:00:03Z | clients | true
                t | ? | ? | ? | ? | ?
                r | 6 | null | 1970-01-01T00:00:05Z | clients | true
                filtered 0 warned 0
            "#]],
        );
    }

    #[test]
    fn r14_what_depends_on_an_unset_column_is_unset() {
        check(
            r#"
            fields.id = "id"
            fields.notes = "notes"
            fields.either = "coalesce(notes, email, 'neither')"
            fields.constant = "1"
            "#,
            expect![[r#"
                key Some(["id"]): id | notes | either | constant
                c | 1 | {"a":1} | {"a":1} | 1
                u | 2 | ? | ? | 1
                d | 3 | ? | ? | 1
                d | 4 | null | d@x.org | 1
                t | ? | ? | ? | ?
                r | 5 | {} | {} | 1
                filtered 0 warned 0
            "#]],
        );
    }

    #[test]
    fn a_row_without_a_value_is_rejected_and_the_rest_goes_on() {
        check(
            r#"
            fields.id = "id"
            fields.share = "100 / (id - 2)"
            fields.domain = "cast(split_part(email, '@', 2) as int)"
            "#,
            expect![[r#"
                key Some(["id"]): id | share | domain
                d | 3 | 100 | ?
                t | ? | ? | ?
                r | 5 | 33 | null
                rejected 0 Some("domain") fields.domain = "cast(split_part(email, '@', 2) as int)": a value cannot be cast to the type that was asked for
                rejected 1 Some("share") fields.share = "100 / (id - 2)": division by zero
                rejected 3 Some("domain") fields.domain = "cast(split_part(email, '@', 2) as int)": a value cannot be cast to the type that was asked for
                filtered 0 warned 0
            "#]],
        );
    }

    #[test]
    fn the_key_follows_its_columns() {
        let check = |text: &str, expect: Option<&[&str]>| {
            let changes = changes();
            let mut map = compile("tidy", &config(text), &changes.schema()).expect("compiles");
            let key = map.apply(changes).expect("goes on").changes.key;
            let key: Option<Vec<&str>> = key
                .as_ref()
                .map(|key| key.iter().map(String::as_str).collect());
            assert_eq!(key.as_deref(), expect, "{text}");
        };
        check("fields.client = 'id'", Some(&["client"]));
        check("fields.a = 'id'\nfields.id = 'id'", Some(&["id"]));
        check("rename = { id = 'client' }", Some(&["client"]));
        check("drop = ['email']", Some(&["id"]));
        check("drop = ['id']", None);
        check("set.id = 'id + 1'", None);
        check("fields.id = 'cast(id as text)'", None);
    }

    fn check_before(text: &str, expect: Expect) {
        let changes = changes_with_before();
        let mut map = compile("tidy", &config(text), &changes.schema()).expect(text);
        let applied = map.apply(changes).expect("goes on");
        if let Some(before) = &applied.changes.before {
            assert_eq!(before.rows.schema(), map.schema());
        }
        expect.assert_eq(&show_before(&applied.changes));
    }

    #[test]
    fn rows_before_are_mapped_as_rows_after_are() {
        check_before(
            r#"
            fields.email  = "normalize_email(email)"
            fields.client = "id"
            fields.twice  = "balance * 2"
            fields.origin = "'crm'"
            fields.of     = "cast(_offset as text) || _op"
            fields.notes  = "lower(notes)"
            "#,
            expect![[r#"
                0 c | null | 5 | 2000000.00 | crm | 100c | {}
                1 u | a@x.org | 1 | 21.00 | crm | 101u | {"a":1}
                2 d | d@x.org | 4 | 10.00 | crm | 102d | null
                3 d | b@y | 2 | -2.00 | crm | 103d | ?
                4 none
                5 none
            "#]],
        );
        check_before(
            "drop = ['email', 'status', 'notes']\nrename.id = 'client'",
            expect![[r#"
                0 c | 5 | 1000000.00
                1 u | 1 | 10.50
                2 d | 4 | 5.00
                3 d | 2 | -1.00
                4 none
                5 none
            "#]],
        );
    }

    #[test]
    fn a_row_before_that_fails_rejects_nothing() {
        // Row 1 is rejected by its row after; the row before of row 3 is that very row.
        let ratio = "fields.id = 'id'\nfields.ratio = '10 / (balance + 1)'";
        check_before(
            ratio,
            expect![[r#"
            0 c | 5 | 0.0000
            2 d | 4 | 1.6666
            3 none
            4 none
            5 none
        "#]],
        );
        // Where no row before is left, there is none.
        let all = "fields.id = 'id'\nfields.x = \"10 / (case when _op = 't' then 1 else 0 end)\"";
        check_before(
            all,
            expect![[r#"
            no row before
        "#]],
        );
    }

    #[test]
    fn rows_before_of_a_whole_batch() {
        let changes = changes_with_before();
        let kept = changes.take(&[0, 1]).expect("two rows");
        let settings = config("set.email = 'upper(email)'\ndrop = ['notes']");
        let mut map = compile("tidy", &settings, &changes.schema()).expect("compiles");
        let applied = map.apply(kept).expect("goes on");
        expect![[r#"
            0 c | 5 | null | open | 1000000.00
            1 u | 1 |  A@X.ORG | open | 10.50
        "#]]
        .assert_eq(&show_before(&applied.changes));
    }

    #[test]
    fn a_column_taken_along_keeps_its_type() {
        let changes = changes();
        let settings = config("fields.renamed = 'notes'\nfields.computed = 'lower(notes)'");
        let map = compile("tidy", &settings, &changes.schema()).expect("compiles");
        let schema = map.schema();
        assert_eq!(Logical::of(schema.field(0)), Some(Logical::Json));
        assert_eq!(Logical::of(schema.field(1)), None);
    }

    #[test]
    fn a_real_column_hides_the_fact_of_its_name() {
        let changes = changes();
        let renamed = config("rename = { status = '_op' }");
        let mut first = compile("first", &renamed, &changes.schema()).expect("compiles");
        let applied = first.apply(changes).expect("goes on");
        let mut second =
            compile("second", &config("fields.op = '_op'"), &first.schema()).expect("ok");
        let applied = second.apply(applied.changes).expect("goes on");
        let shown = show_applied(6, &applied);
        assert!(shown.contains("c | open\nu | draft\nd | ?\n"), "{shown}");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let check = |text: &str, expect: Expect| {
            let Err(problems) = compile("tidy", &config(text), &changes().schema()) else {
                panic!("{text} compiles");
            };
            expect.assert_eq(&show_problems(&problems));
        };
        check(
            "",
            expect![[r#"
            : the map changes nothing (give it fields, or keep, drop, rename or set)
        "#]],
        );
        check(
            "fields.a = 'id'\ndrop = ['id']\nset.b = 'id'",
            expect![[r#"
            drop: drop cannot stand beside fields (fields names every column that goes out; use set to compute some and keep the rest)
            set: set cannot stand beside fields (fields names every column that goes out; use set to compute some and keep the rest)
        "#]],
        );
        check(
            r#"
            fields.a = "trim(emial)"
            fields.b = "id +"
            fields.c = "lower(id)"
            "#,
            expect![[r#"
                fields.a 5..10: no column emial (did you mean email?)
                fields.b 4..4: expected an expression, found the end
                fields.c 6..8: lower does not take int64 here (it takes lower(String))
            "#]],
        );
        check(
            r#"
            drop = ["note", "id"]
            rename = { stat = "state", email = "status", id = "x" }
            set.b = "nope(id)"
            "#,
            expect![[r#"
                drop.0: no column note (did you mean notes?)
                rename.stat: no column stat (the columns are id, email, status, balance, notes)
                rename.id: column id is renamed, but does not go on
                rename: two columns would be named status (drop one of them, or give it another name)
                set.b 0..4: no function nope (syncline list shows the functions)
            "#]],
        );
        check(
            "keep = ['id']\ndrop = ['email']",
            expect![[r#"
            drop: drop cannot stand beside keep (keep already leaves out all other columns)
        "#]],
        );
        check(
            "drop = ['id', 'email', 'status', 'balance', 'notes']",
            expect![[r#"
                : no column is left
            "#]],
        );
    }

    #[test]
    fn much_is_checked_without_a_schema() {
        let settings =
            config("fields.a = 'trim(anything)'\nfields.b = 'id +'\nfields.c = 'nope(x)'");
        expect![[r#"
            fields.b 4..4: expected an expression, found the end
            fields.c 0..4: no function nope (syncline list shows the functions)
        "#]]
        .assert_eq(&show_problems(&check_without_schema(&settings)));
    }

    #[test]
    fn only_what_is_needed_is_decoded() {
        let check = |text: &str, wanted: Option<&[&str]>, expect: Option<&[&str]>| {
            let wanted: Option<Vec<String>> =
                wanted.map(|names| names.iter().map(ToString::to_string).collect());
            let found = required_columns(&config(text), wanted.as_deref());
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|names| names.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        let fields = "fields.a = 'x || y'\nfields.b = 'y'";
        check(fields, None, Some(&["x", "y"]));
        check(fields, Some(&["b"]), Some(&["y"]));
        check("drop = ['x']", None, None);
        check("drop = ['x']", Some(&["a", "x"]), Some(&["a"]));
        check("keep = ['a', 'b']", None, Some(&["a", "b"]));
        check(
            "rename = { a = 'b' }\nset.c = 'd + e'",
            Some(&["b", "c"]),
            Some(&["d", "e", "a"]),
        );
        check("fields.a = 'x +'", None, None);
    }
}
