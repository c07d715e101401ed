//! Text functions that DataFusion does not have.
//!
//! A null argument gives null. A text that is already in normal form is copied without a
//! conversion.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// One of Syncline's own functions, with its documentation.
pub(super) struct TextFunction {
    pub(super) name: &'static str,
    /// The function with its arguments, as it is called.
    pub(super) syntax: &'static str,
    /// What the function returns, in one line.
    pub(super) summary: &'static str,
    arguments: usize,
    /// Appends the result for these arguments to the builder; may append a null.
    append: fn(&[&str], &mut StringBuilder),
}

/// All text functions.
pub(super) const FUNCTIONS: [TextFunction; 5] = [
    TextFunction {
        name: "normalize_email",
        syntax: "normalize_email(text)",
        summary: "the address without surrounding white space, in lower case",
        arguments: 1,
        append: |arguments, builder| append_email(arguments[0], builder),
    },
    TextFunction {
        name: "normalize_space",
        syntax: "normalize_space(text)",
        summary: "the text without surrounding white space, with each inner run of white space replaced by one space",
        arguments: 1,
        append: |arguments, builder| append_spaced(arguments[0], builder),
    },
    TextFunction {
        name: "normalize_unicode",
        syntax: "normalize_unicode(text)",
        summary: "the text in Unicode normal form NFC, in which equal-looking texts are equal",
        arguments: 1,
        append: |arguments, builder| append_composed(arguments[0], builder),
    },
    TextFunction {
        name: "null_if_blank",
        syntax: "null_if_blank(text)",
        summary: "null if the text is empty or only white space, otherwise the text unchanged",
        arguments: 1,
        append: |arguments, builder| {
            let blank = arguments[0].chars().all(char::is_whitespace);
            builder.append_option((!blank).then_some(arguments[0]));
        },
    },
    TextFunction {
        name: "json_text",
        syntax: "json_text(document, name)",
        summary: "a member of a JSON object as text, null if it is absent or null; for \
                  _headers and JSON columns",
        arguments: 2,
        append: |arguments, builder| append_member(arguments[0], arguments[1], builder),
    },
];

/// Creates the functions for the planner.
pub(super) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    FUNCTIONS.iter().map(|function| {
        Arc::new(ScalarUDF::from(Planned {
            function,
            signature: Signature::string(function.arguments, Volatility::Immutable),
        }))
    })
}

fn append_email(text: &str, builder: &mut StringBuilder) {
    let trimmed = text.trim();
    if trimmed
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        builder.append_value(trimmed);
    } else {
        builder.append_value(trimmed.to_lowercase());
    }
}

fn append_spaced(text: &str, builder: &mut StringBuilder) {
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    builder.append_value(spaced);
}

fn append_composed(text: &str, builder: &mut StringBuilder) {
    if text.is_ascii() || is_nfc(text) {
        builder.append_value(text);
    } else {
        builder.append_value(text.nfc().collect::<String>());
    }
}

/// Appends a member of a JSON object; null if the document is not a JSON object.
fn append_member(document: &str, name: &str, builder: &mut StringBuilder) {
    let parsed: Option<serde_json::Value> = serde_json::from_str(document).ok();
    match parsed.as_ref().and_then(|value| value.get(name)) {
        None | Some(serde_json::Value::Null) => builder.append_null(),
        Some(serde_json::Value::String(text)) => builder.append_value(text),
        Some(other) => builder.append_value(other.to_string()),
    }
}

struct Planned {
    function: &'static TextFunction,
    signature: Signature,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Planned {}

impl Hash for Planned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Planned {
    fn name(&self) -> &str {
        self.function.name
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

        let rows = texts[0].len();
        let mut builder = StringBuilder::with_capacity(rows, texts[0].value_data().len());
        let mut arguments = Vec::with_capacity(texts.len());
        for row in 0..rows {
            if texts.iter().any(|text| text.is_null(row)) {
                builder.append_null();
                continue;
            }
            arguments.clear();
            arguments.extend(texts.iter().map(|text| text.value(row)));
            (self.function.append)(&arguments, &mut builder);
        }
        let result: ArrayRef = Arc::new(builder.finish());
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
