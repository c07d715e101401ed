//! Compiles a checked syntax tree: plans, coerces types and simplifies, all once.
//!
//! If DataFusion refuses the expression, a search finds the smallest part that it refuses, so that
//! the caret points at that part. Numbers with a fraction are exact decimals, names keep their
//! case, and integer arithmetic fails on overflow instead of wrapping around (R3).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{BinaryExpr, cast};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{
    DataType as SqlType, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Spanned, Value, Visit, Visitor, visit_expressions_mut,
};

use super::location::{bytes, operator_between};
use super::registry::Registry;
use super::syntax::{ExpressionError, arguments, lower_first};

/// An expression that is ready to be evaluated.
pub(super) struct Planned {
    pub(super) physical: Arc<dyn PhysicalExpr>,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

/// Plans `tree` over `schema`. Call it on a large stack.
pub(super) fn plan(
    text: &str,
    tree: &SqlExpr,
    schema: &SchemaRef,
    registry: &Registry,
) -> Result<Planned, Box<ExpressionError>> {
    let whole = |error: DataFusionError| ExpressionError::new(0..text.len(), short_message(&error));
    let schema = Arc::new(DFSchema::try_from(schema.clone()).map_err(whole)?);
    let planner = Planner { registry, schema };
    planner.lower(tree).map_err(|error| {
        let mut search = Search {
            planner: &planner,
            text,
        };
        match tree.visit(&mut search) {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => whole(error),
        }
    })
}

struct Planner<'a> {
    registry: &'a Registry,
    schema: Arc<DFSchema>,
}

impl Planner<'_> {
    fn lower(&self, tree: &SqlExpr) -> Result<Planned, DataFusionError> {
        let options = ParserOptions::new()
            .with_parse_float_as_decimal(true)
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false);
        let mut tree = tree.clone();
        let _: ControlFlow<()> = visit_expressions_mut(&mut tree, |part| {
            keep_microseconds(part);
            ControlFlow::Continue(())
        });
        let logical = SqlToRel::new_with_options(self.registry, options).sql_to_expr(
            tree,
            &self.schema,
            &mut PlannerContext::new(),
        )?;
        let context = SimplifyContext::builder()
            .with_schema(self.schema.clone())
            .build();
        let simplifier = ExprSimplifier::new(context);
        let coerced = simplifier.coerce(logical, &self.schema)?;
        let simplified = simplifier.simplify(coerced)?;
        let physical = create_physical_expr(
            &simplified,
            &self.schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;

        let schema = self.schema.as_arrow();
        let data_type = physical.data_type(schema)?;
        let wanted = plain_type(&data_type);
        let physical = if wanted == data_type {
            physical
        } else {
            cast(physical, schema, wanted.clone())?
        };
        let physical = with_overflow_checks(physical)?;
        Ok(Planned {
            nullable: physical.nullable(schema)?,
            data_type: wanted,
            physical,
        })
    }

    /// The name of the type of `tree`, for a message.
    fn type_name(&self, tree: &SqlExpr) -> String {
        match self.lower(tree) {
            Ok(planned) => type_name(&planned.data_type),
            Err(_) => "an unknown type".to_owned(),
        }
    }
}

/// A timestamp without a precision has six fractional digits, as in SQL. DataFusion's default of
/// nine cannot hold infinity and years from 2262 on.
fn keep_microseconds(part: &mut SqlExpr) {
    let data_type = match part {
        SqlExpr::Cast { data_type, .. } => data_type,
        SqlExpr::TypedString(typed) => &mut typed.data_type,
        _ => return,
    };
    if let SqlType::Timestamp(digits, _) = data_type {
        digits.get_or_insert(6);
    }
}

/// Replaces a type that sinks do not know (view, dictionary, null) by one that they know.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        other => other.clone(),
    }
}

/// Replaces arithmetic by arithmetic that fails on overflow.
fn with_overflow_checks(
    physical: Arc<dyn PhysicalExpr>,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let transformed = physical.transform_up(|node| {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(node));
        };
        let checked = binary.clone().with_fail_on_overflow(true);
        Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(transformed.data)
}

/// Finds the smallest part that cannot be planned: a part is tried after its children.
struct Search<'a> {
    planner: &'a Planner<'a>,
    text: &'a str,
}

impl Visitor for Search<'_> {
    type Break = Box<ExpressionError>;

    fn post_visit_expr(&mut self, expression: &SqlExpr) -> ControlFlow<Box<ExpressionError>> {
        match self.planner.lower(expression) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(self.explain(expression, &error)),
        }
    }
}

impl Search<'_> {
    fn explain(&self, part: &SqlExpr, error: &DataFusionError) -> Box<ExpressionError> {
        match part {
            SqlExpr::BinaryOp { left, op, right } => ExpressionError::new(
                operator_between(self.text, left, right),
                format!(
                    "{op} does not take {} and {}",
                    self.planner.type_name(left),
                    self.planner.type_name(right)
                ),
            )
            .help("cast one side, as in cast(… as bigint)"),
            SqlExpr::UnaryOp { op, expr } => ExpressionError::new(
                self.span(expr),
                format!("{op} does not take {}", self.planner.type_name(expr)),
            ),
            SqlExpr::Cast {
                expr, data_type, ..
            } => {
                let from = self.planner.type_name(expr);
                if error.strip_backtrace().contains("Unsupported SQL type") {
                    let span = self.type_span(expr, &data_type.to_string());
                    return ExpressionError::new(span, format!("no type {data_type}"));
                }
                let message = format!("{from} cannot be cast to {data_type}");
                ExpressionError::new(self.span(expr), message)
            }
            SqlExpr::Function(function) => self.explain_call(function, part),
            SqlExpr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let types: Vec<String> =
                    [Some(expr), substring_from.as_ref(), substring_for.as_ref()]
                        .into_iter()
                        .flatten()
                        .map(|argument| self.planner.type_name(argument))
                        .collect();
                ExpressionError::new(
                    self.span(part),
                    format!("substring does not take ({})", types.join(", ")),
                )
                .help("it takes a text, a start and a length; start and length are whole numbers")
            }
            _ => ExpressionError::new(self.span(part), short_message(error)),
        }
    }

    fn explain_call(&self, function: &Function, part: &SqlExpr) -> Box<ExpressionError> {
        let name = function.name.to_string().to_lowercase();
        let arguments = arguments(function);
        let types: Vec<String> = arguments
            .iter()
            .map(|argument| self.planner.type_name(argument))
            .collect();
        let valid = self.registry_signature(&name);

        // The argument that makes the call wrong: with a null in its place, the call is valid.
        let wrong = (0..arguments.len()).find(|&index| {
            let mended = with_null_argument(part, index);
            self.planner.lower(&mended).is_ok()
        });
        let (span, message) = match wrong {
            Some(index) => (
                self.span(arguments[index]),
                format!("{name} does not take {} here", types[index]),
            ),
            None => (
                bytes(self.text, function.name.span()),
                format!("{name} does not take ({})", types.join(", ")),
            ),
        };
        ExpressionError::new(span, message).help(match valid {
            Some(valid) => format!("it takes {valid}"),
            None => "cast the arguments to types that the function accepts".to_owned(),
        })
    }

    fn registry_signature(&self, name: &str) -> Option<String> {
        let function = self.planner.registry.function(name)?;
        let forms = function.signature().type_signature.to_string_repr();
        let known = !forms.is_empty() && forms.iter().all(|form| !form.contains("UserDefined"));
        known.then(|| {
            let forms: Vec<String> = forms.iter().map(|form| format!("{name}({form})")).collect();
            forms.join(" or ")
        })
    }

    fn span(&self, part: &SqlExpr) -> Range<usize> {
        bytes(self.text, part.span())
    }

    /// The byte range of the target type of a cast, which follows the value; the parser gives types
    /// no span.
    fn type_span(&self, cast: &SqlExpr, data_type: &str) -> Range<usize> {
        let value = self.span(cast);
        let rest = self.text[value.end..].to_ascii_lowercase();
        match rest.find(&data_type.to_ascii_lowercase()) {
            Some(at) => value.end + at..value.end + at + data_type.len(),
            None => value,
        }
    }
}

/// The call with one argument replaced by null.
fn with_null_argument(call: &SqlExpr, index: usize) -> SqlExpr {
    let mut mended = call.clone();
    if let SqlExpr::Function(function) = &mut mended
        && let FunctionArguments::List(list) = &mut function.args
        && let Some(FunctionArg::Unnamed(argument)) = list.args.get_mut(index)
    {
        *argument = FunctionArgExpr::Expr(SqlExpr::Value(Value::Null.into()));
    }
    mended
}

/// The SQL name of a type, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision}, {scale})")
        }
        DataType::List(item) => format!("list of {}", type_name(item.data_type())),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// The first line of DataFusion's message, without its prefix.
fn short_message(error: &DataFusionError) -> String {
    let message = error.strip_backtrace();
    let line = message.lines().next().unwrap_or_default();
    let line = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Schema error: ",
        "Arrow error: ",
        "Execution error: ",
        "Internal error: ",
    ]
    .iter()
    .fold(line, |line, preamble| {
        line.strip_prefix(preamble).unwrap_or(line)
    });
    lower_first(line.trim_end_matches('.'))
}
