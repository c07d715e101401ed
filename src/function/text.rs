//! Text functions that DataFusion does not have.
//!
//! A null argument gives null. The first argument is the value; the others are read once for as many rows
//! as they stay the same. A function that can refuse a text has a second form whose name begins with
//! `try_` and which gives null instead.

mod list;

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use sha2::{Digest, Sha256};

pub(super) use self::list::FUNCTIONS;

/// One of Syncline's own functions, with its documentation.
pub(super) struct TextFunction {
    pub(super) name: &'static str,
    /// What the function returns, in one line.
    pub(super) summary: &'static str,
    /// The arguments, all texts: the name of each and what it is.
    pub(super) arguments: &'static [(&'static str, &'static str)],
    /// Whether it refuses some texts.
    pub(super) may_fail: bool,
    /// Reads all arguments but the first.
    prepare: fn(&[&str]) -> Result<Apply, &'static str>,
}

/// Gives the result for the first argument, null, or the reason why there is none.
type Apply = Box<dyn for<'a> Fn(&'a str) -> Result<Option<Cow<'a, str>>, &'static str>>;

/// A function that gives one text for each.
fn plain(function: fn(&str) -> super::normal::Normal<'_>) -> Result<Apply, &'static str> {
    Ok(Box::new(move |text| function(text).map(Some)))
}

/// A function that refuses no text.
fn total(function: fn(&str) -> Option<Cow<'_, str>>) -> Result<Apply, &'static str> {
    Ok(Box::new(move |text| Ok(function(text))))
}

/// The first 16 hexadecimal digits of the SHA-256.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Why a function of Syncline has no value for a row.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) &'static str);

impl TextFunction {
    /// The function with its arguments, as it is called.
    pub(super) fn syntax(&self) -> String {
        let names: Vec<&str> = self.arguments.iter().map(|(name, _)| *name).collect();
        format!("{}({})", self.name, names.join(", "))
    }
}

/// Creates the functions for the planner.
pub(super) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let planned = |function: &'static TextFunction, lenient: bool| {
        let prefix = if lenient { "try_" } else { "" };
        Arc::new(ScalarUDF::from(Planned {
            function,
            lenient,
            name: format!("{prefix}{}", function.name),
            signature: Signature::string(function.arguments.len(), Volatility::Immutable),
        }))
    };
    FUNCTIONS.iter().flat_map(move |function| {
        let lenient = function.may_fail.then(|| planned(function, true));
        std::iter::once(planned(function, false)).chain(lenient)
    })
}

struct Planned {
    function: &'static TextFunction,
    /// Whether it gives null for a text that it refuses.
    lenient: bool,
    name: String,
    signature: Signature,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Planned {}

impl Hash for Planned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Planned {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = call
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&call.args)?
            .iter()
            .map(|array| cast(array, &DataType::Utf8))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let texts: Vec<&StringArray> = arrays.iter().map(|array| array.as_string()).collect();
        let result = self
            .values(texts[0], &texts[1..])
            .map_err(|reason| DataFusionError::External(Box::new(Refused(reason))))?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl Planned {
    fn values(
        &self,
        texts: &StringArray,
        parameters: &[&StringArray],
    ) -> Result<ArrayRef, &'static str> {
        let rows = texts.len();
        let mut builder = StringBuilder::with_capacity(rows, texts.value_data().len());
        let mut known: Option<(Vec<&str>, Apply)> = None;
        for row in 0..rows {
            if texts.is_null(row) || parameters.iter().any(|values| values.is_null(row)) {
                builder.append_null();
                continue;
            }
            let same = |known: &[&str]| {
                let mut given = parameters.iter().map(|values| values.value(row));
                known.iter().all(|known| given.next() == Some(*known))
            };
            if !known.as_ref().is_some_and(|(of, _)| same(of)) {
                let of: Vec<&str> = parameters.iter().map(|values| values.value(row)).collect();
                let apply = (self.function.prepare)(&of)?;
                known = Some((of, apply));
            }
            let (_, apply) = known.as_ref().expect("it was read above");
            match apply(texts.value(row)) {
                Ok(value) => builder.append_option(value),
                Err(_) if self.lenient => builder.append_null(),
                Err(reason) => return Err(reason),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}
