//! The functions that an expression may call: DataFusion's scalar functions and Syncline's own.
//!
//! Functions whose result differs on every call (`random`, `uuid`) are refused: a change that is
//! replayed after a crash must give the same row as before. Aggregates, window functions and table
//! functions are not available.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF,
};

use super::clock::{self, Clock};
use super::{json, text};

/// A function as `syncline list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// The function's name.
    pub name: String,
    /// The function with its arguments, as it is called.
    pub signature: String,
    /// What the function returns, in one line.
    pub summary: String,
    /// Each argument with what it is.
    pub arguments: Vec<(String, String)>,
    /// The types that it takes, one text a form; empty where it decides by itself.
    pub types: Vec<String>,
    /// A call and its result.
    pub example: Option<(String, String)>,
}

/// Every function that an expression may call, ordered by name; aliases are not listed.
pub fn list() -> Vec<FunctionInfo> {
    let mut listed: BTreeMap<String, FunctionInfo> = BTreeMap::new();
    for function in FUNCTIONS.values() {
        listed.insert(function.name().to_owned(), describe(function));
    }
    for own in &text::FUNCTIONS {
        let arguments = own.arguments.iter();
        let mut info = FunctionInfo {
            arguments: arguments
                .map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned()))
                .collect(),
            types: vec![vec!["text"; own.arguments.len()].join(", ")],
            ..info(own.name, &own.syntax(), own.summary)
        };
        if own.may_fail {
            let name = format!("try_{}", own.name);
            let lenient = FunctionInfo {
                signature: format!("try_{}", info.signature),
                summary: format!("as {}, but null where that fails", own.name),
                example: examples().get(name.as_str()).cloned(),
                name: name.clone(),
                ..info.clone()
            };
            listed.insert(name, lenient);
        }
        info.example = examples().get(own.name).cloned();
        listed.insert(own.name.to_owned(), info);
    }
    for own in json::FUNCTIONS {
        let arguments = own.arguments.iter();
        let described = FunctionInfo {
            arguments: arguments
                .map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned()))
                .collect(),
            ..info(own.name, own.syntax, own.summary)
        };
        listed.insert(own.name.to_owned(), described);
    }
    for (name, summary) in [
        ("now", "the time of the batch, in UTC"),
        ("current_date", "the date of the batch, in UTC"),
        ("current_time", "the time of day of the batch, in UTC"),
    ] {
        listed.insert(name.to_owned(), info(name, &format!("{name}()"), summary));
    }
    listed.into_values().collect()
}

fn info(name: &str, signature: &str, summary: &str) -> FunctionInfo {
    FunctionInfo {
        name: name.to_owned(),
        signature: signature.to_owned(),
        summary: summary.to_owned(),
        arguments: Vec::new(),
        types: Vec::new(),
        example: examples().get(name).cloned(),
    }
}

fn describe(function: &ScalarUDF) -> FunctionInfo {
    let name = function.name();
    let forms = function.signature().type_signature.to_string_repr();
    let decides = forms.iter().any(|form| form.contains("UserDefined"));
    let types = if decides { Vec::new() } else { forms };
    let Some(documentation) = function.documentation() else {
        return FunctionInfo {
            types,
            ..info(name, &format!("{name}(…)"), "")
        };
    };
    let description = documentation.description.trim();
    let sentence = description
        .split_inclusive(". ")
        .next()
        .unwrap_or(description)
        .lines()
        .next()
        .unwrap_or_default();
    let summary = sentence.trim().trim_end_matches('.');
    FunctionInfo {
        arguments: documentation.arguments.clone().unwrap_or_default(),
        types,
        ..info(name, documentation.syntax_example.trim(), summary)
    }
}

/// A call of each function and its result, by name. A test evaluates them.
fn examples() -> &'static BTreeMap<&'static str, (String, String)> {
    static EXAMPLES: LazyLock<BTreeMap<&str, (String, String)>> = LazyLock::new(|| {
        let lines = include_str!("examples.tsv").lines();
        lines
            .filter_map(|line| {
                let mut cells = line.splitn(3, '\t');
                let (name, call, result) = (cells.next()?, cells.next()?, cells.next()?);
                Some((name, (call.to_owned(), result.to_owned())))
            })
            .collect()
    });
    &EXAMPLES
}

/// A `timestamptz` is an instant: the time zone is UTC, as for the columns.
static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(|| {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some("UTC".to_owned());
    options
});

/// The functions by name and by alias.
static FUNCTIONS: LazyLock<BTreeMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let theirs = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(datafusion_functions_nested::all_default_nested_functions());
    let mut functions = BTreeMap::new();
    for function in theirs.chain(text::functions()).chain(json::functions()) {
        for alias in function.aliases() {
            functions.insert(alias.clone(), function.clone());
        }
        functions.insert(function.name().to_owned(), function);
    }
    functions.retain(|_, function| function.signature().volatility == Volatility::Immutable);
    functions
});

static PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
    vec![
        Arc::new(json::Operators),
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
    ]
});

/// The reason why a function that SQL knows is not available here.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "random" | "rand" | "uuid" => {
            "it returns another value when a change is replayed; take a column, or _topic, \
             _partition and _offset, which stay"
        }
        "count" | "sum" | "avg" | "mean" | "min" | "max" | "median" | "array_agg"
        | "string_agg" | "first_value" | "last_value" | "bool_and" | "bool_or" | "stddev"
        | "var" | "approx_distinct" => {
            "it is an aggregate; an expression sees one row (greatest and least compare columns)"
        }
        "row_number" | "rank" | "dense_rank" | "lag" | "lead" | "ntile" | "nth_value" => {
            "it is a window function; an expression sees one row"
        }
        "unnest" => "it turns one row into several; an expression returns one value",
        _ => return None,
    })
}

/// The functions that the planner can look up; the time functions read one clock.
pub(super) struct Registry {
    time: [Arc<ScalarUDF>; 3],
}

impl Registry {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            time: clock::functions(clock),
        }
    }

    /// The function of this name or alias.
    pub(super) fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let time = self.time.iter().find(|function| {
            function.name() == name || function.aliases().iter().any(|alias| alias == name)
        });
        time.or_else(|| FUNCTIONS.get(name)).cloned()
    }

    /// Every name and alias.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let time = self.time.iter().map(|function| function.name());
        time.chain(FUNCTIONS.keys().map(String::as_str))
    }
}

impl ContextProvider for Registry {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("no table {name}: an expression sees the columns of one row")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &PLANNERS
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.function(name)
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_function_once_with_its_line() {
        let listed = list();
        let find = |name: &str| listed.iter().find(|function| function.name == name);
        assert!(listed.len() > 150, "{}", listed.len());
        for name in ["now", "lower", "normalize_email", "array_has", "date_trunc"] {
            let function = find(name).expect(name);
            assert!(!function.summary.is_empty(), "{name}");
            assert!(function.signature.contains('('), "{name}");
        }
        for name in ["random", "uuid", "count", "generate_table"] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    /// The value of an expression over no row.
    fn value(text: &str) -> Option<String> {
        let schema = std::sync::Arc::new(arrow::datatypes::Schema::empty());
        let clock = Clock::stopped_at(1_767_225_600_000_000);
        let expression = crate::function::Expression::compile_at(text, &schema, &clock).ok()?;
        let evaluated = expression.evaluate_on(1, |_| unreachable!("it reads no column"));
        let options = arrow::util::display::FormatOptions::new().with_null("null");
        let shown =
            arrow::util::display::ArrayFormatter::try_new(&evaluated.array, &options).ok()?;
        let text = shown.value(0).try_to_string().ok()?;
        (evaluated.failures.is_empty() && !text.contains(['\n', '\t'])).then_some(text)
    }

    /// Every function has an example, and its result is what is shown. `UPDATE_EXPECT=1` writes results, and
    /// takes the calls of the functions of DataFusion from their documentation.
    #[test]
    fn every_example_gives_what_it_says() {
        let mut lines = String::new();
        let mut without = Vec::new();
        for function in list() {
            let name = function.name;
            let of_documentation = || {
                let documentation = FUNCTIONS.get(&name)?.documentation()?.sql_example.clone()?;
                let calls = documentation.lines().filter_map(|line| {
                    let line = line.trim().trim_start_matches('>').trim();
                    let is_select = line.get(..7)?.eq_ignore_ascii_case("select ");
                    is_select.then(|| line[7..].trim_end_matches(';').trim().to_owned())
                });
                calls.into_iter().find(|call| value(call).is_some())
            };
            let known = function.example.map(|(call, _)| call);
            let call = known
                .filter(|call| value(call).is_some())
                .or_else(of_documentation);
            match call.as_deref().and_then(|call| Some((call, value(call)?))) {
                Some((call, result)) => lines += &format!("{name}\t{call}\t{result}\n"),
                None => without.push(name),
            }
        }
        expect_test::expect_file!["examples.tsv"].assert_eq(&lines);
        expect_test::expect!["array_compact arrow_cast arrow_metadata arrow_try_cast arrow_typeof cast_to_type current_date current_time date_bin decode encode get_field named_struct now pi sqrt struct try_cast_to_type union_extract union_tag with_metadata"].assert_eq(&without.join(" "));
    }

    #[test]
    fn only_stable_functions_are_known() {
        let volatile = FUNCTIONS
            .values()
            .filter(|function| function.signature().volatility != Volatility::Immutable);
        assert_eq!(volatile.count(), 0);
    }
}
