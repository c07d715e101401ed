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
use super::text;

/// A function as `syncline list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// The function's name.
    pub name: String,
    /// The function with its arguments, as it is called.
    pub signature: String,
    /// What the function returns, in one line.
    pub summary: String,
}

/// Every function that an expression may call, ordered by name; aliases are not listed.
pub fn list() -> Vec<FunctionInfo> {
    let mut listed: BTreeMap<String, FunctionInfo> = BTreeMap::new();
    for function in FUNCTIONS.values() {
        listed.insert(function.name().to_owned(), describe(function));
    }
    for own in &text::FUNCTIONS {
        listed.insert(own.name.to_owned(), info(own.name, own.syntax, own.summary));
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
    }
}

fn describe(function: &ScalarUDF) -> FunctionInfo {
    let name = function.name();
    let Some(documentation) = function.documentation() else {
        return info(name, &format!("{name}(…)"), "");
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
    info(name, documentation.syntax_example.trim(), summary)
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
    for function in theirs.chain(text::functions()) {
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

    #[test]
    fn only_stable_functions_are_known() {
        let volatile = FUNCTIONS
            .values()
            .filter(|function| function.signature().volatility != Volatility::Immutable);
        assert_eq!(volatile.count(), 0);
    }
}
