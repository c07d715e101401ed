//! Values inside JSON documents: `document -> step`, `document ->> step`, and the functions behind them.
//!
//! A step is the name of a member or the index of an element; an index below 0 counts from the end. What is
//! not there is null, and so is JSON's null as a text. A text that is not a JSON document refuses its row.
//! A chain such as `a -> 'b' ->> 'c'` is one call, so that each document is read once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::sqlparser::ast::BinaryOperator;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value as Json;

use super::text::Refused;

/// A function with its documentation.
pub(super) struct JsonFunction {
    pub(super) name: &'static str,
    pub(super) syntax: &'static str,
    pub(super) summary: &'static str,
    pub(super) arguments: &'static [(&'static str, &'static str)],
}

const ARGUMENTS: &[(&str, &str)] = &[
    ("document", "a JSON document"),
    ("step", "the name of a member, or the index of an element"),
];

pub(super) const FUNCTIONS: &[JsonFunction] = &[
    JsonFunction {
        name: "json_get",
        syntax: "json_get(document, step[, ...])",
        summary: "the value inside a JSON document as JSON, null if it is absent; the same as document -> step",
        arguments: ARGUMENTS,
    },
    JsonFunction {
        name: "json_get_text",
        syntax: "json_get_text(document, step[, ...])",
        summary: "the value inside a JSON document as text, null if it is absent; the same as document ->> step",
        arguments: ARGUMENTS,
    },
];

pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [false, true].map(function)
}

fn function(as_text: bool) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Get {
        as_text,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

/// Plans `->` and `->>`.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expression: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let as_text = match expression.op {
            BinaryOperator::Arrow => false,
            BinaryOperator::LongArrow => true,
            _ => return Ok(PlannerResult::Original(expression)),
        };
        let mut args = match expression.left {
            Expr::ScalarFunction(inner) if inner.func.name() == "json_get" => inner.args,
            document => vec![document],
        };
        args.push(expression.right);
        let call = ScalarFunction::new_udf(function(as_text), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

#[derive(Debug)]
struct Get {
    as_text: bool,
    signature: Signature,
}

impl PartialEq for Get {
    fn eq(&self, other: &Self) -> bool {
        self.as_text == other.as_text
    }
}

impl Eq for Get {}

impl Hash for Get {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_text.hash(state);
    }
}

impl ScalarUDFImpl for Get {
    fn name(&self) -> &str {
        match self.as_text {
            true => "json_get_text",
            false => "json_get",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let is_text = |data_type: &DataType| data_type.is_string() || data_type.is_null();
        let (document, steps) = match types.split_first() {
            Some(split) if types.len() > 1 => split,
            _ => return plan_err!("{} takes a document and at least one step", self.name()),
        };
        if !is_text(document) {
            return plan_err!("{} reads JSON documents, which are texts", self.name());
        }
        if !steps.iter().all(|step| is_text(step) || step.is_integer()) {
            return plan_err!("a step into a JSON document is a text or a whole number");
        }
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = call
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&call.args)?;
        let result = self.values(&arrays)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The column of one step.
enum Steps {
    Names(ArrayRef),
    Indices(ArrayRef),
}

impl Steps {
    /// The value that the step of a row leads to.
    fn enter<'j>(&self, value: &'j Json, row: usize) -> Option<&'j Json> {
        match self {
            Self::Names(names) if names.is_valid(row) => {
                value.get(names.as_string::<i32>().value(row))
            }
            Self::Indices(indices) if indices.is_valid(row) => {
                let index = indices.as_primitive::<Int64Type>().value(row);
                let elements = value.as_array()?;
                let from_end = || elements.len().checked_sub(usize::try_from(-index).ok()?);
                let index = usize::try_from(index).ok().or_else(from_end)?;
                elements.get(index)
            }
            Self::Names(_) | Self::Indices(_) => None,
        }
    }
}

impl Get {
    fn values(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let documents = cast(&arrays[0], &DataType::Utf8)?;
        let documents = documents.as_string::<i32>();
        let steps = arrays[1..]
            .iter()
            .map(|array| match array.data_type().is_integer() {
                true => Ok(Steps::Indices(cast(array, &DataType::Int64)?)),
                false => Ok(Steps::Names(cast(array, &DataType::Utf8)?)),
            })
            .collect::<Result<Vec<Steps>>>()?;
        let mut builder = StringBuilder::new();
        for row in 0..documents.len() {
            if documents.is_null(row) {
                builder.append_null();
                continue;
            }
            let document: Json = serde_json::from_str(documents.value(row)).map_err(|_| {
                DataFusionError::External(Box::new(Refused("the text is not a JSON document")))
            })?;
            let found = steps
                .iter()
                .try_fold(&document, |value, step| step.enter(value, row));
            match found {
                None => builder.append_null(),
                Some(Json::Null) if self.as_text => builder.append_null(),
                Some(Json::String(text)) if self.as_text => builder.append_value(text),
                Some(value) => builder.append_value(value.to_string()),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}
