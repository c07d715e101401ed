//! Which keys are one key for MySQL and MariaDB (R22).
//!
//! A text compares by the collation of its column: the default ones ignore case, accents and blanks at the
//! end. For printable ASCII under the common collations the normal form is known here; for any other text the
//! server gives its weights. Under `general_ci` these are text again, the same in every batch; under the other
//! collations they say which keys of a batch are one. What is kept beside the rows (conflicts that wait for a
//! person, the shadow) is found by the text of a key, so that such a collation is refused where that is used.
//! Refused as keys: sets, and types whose equality is not known here.

use arrow::datatypes::{DataType, Field};

use super::failure::Failure;
use super::session::Session;
use super::types::{is_binary, is_text, split};
use crate::conflict::ConflictPolicy;
use crate::error::Result;
use crate::sql::equality::{Equality, Texts, unknown};
use crate::sql::metadata::Tables;

/// Texts that are asked for in one statement.
const ASKED_MAX: usize = 500;

/// What a collation does, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collation {
    name: String,
    /// Texts are equal only where their bytes are, but for blanks.
    binary: bool,
    /// Blanks at the end do not count.
    pads: bool,
    /// Printable ASCII differs in more than its case: tried for each of them.
    common: bool,
    /// The weights of a text are a text in UCS-2 that is equal to it.
    readable: bool,
}

impl Collation {
    pub(super) fn of(name: &str) -> Self {
        let has = |part: &str| name.contains(part);
        let common = [
            "_general_",
            "_unicode_",
            "_0900_ai_ci",
            "uca1400_ai_ci",
            "uca1400_nopad_ai_ci",
        ];
        Self {
            name: name.to_owned(),
            binary: name.ends_with("_bin") || name == "binary",
            pads: !(has("nopad") || has("_0900_") || name == "binary"),
            common: name.ends_with("_ci")
                && (common.iter().any(|part| has(part)) || name == "latin1_swedish_ci"),
            readable: has("_general_") && name.starts_with("utf8"),
        }
    }

    /// As SQL that is equal for texts that are one; the bytes themselves where only those are.
    pub(super) fn weights(&self, text: &str) -> String {
        let text = if self.pads {
            format!("RTRIM({text})")
        } else {
            text.to_owned()
        };
        if self.binary {
            text
        } else {
            format!("WEIGHT_STRING({text})")
        }
    }

    fn charset(&self) -> &str {
        self.name.split('_').next().unwrap_or_default()
    }
}

/// How a key column tells values apart; `target` is the table's name.
///
/// # Errors
/// `Configuration` where that is not known, or not enough for what `policy` keeps beside the rows.
pub(super) fn equality(
    target: &str,
    field: &Field,
    sql_type: &str,
    collation: Option<&Collation>,
    policy: &ConflictPolicy,
) -> Result<Equality> {
    let text = matches!(
        field.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let (base, _) = split(sql_type);
    let refused = |what: String, remedy: &str| Err(unknown(target, field.name(), &what, remedy));
    let numbers = Texts {
        numbers: true,
        ..Texts::default()
    };
    match base.trim_end_matches(" unsigned") {
        "set" => refused("is a set".to_owned(), "give the key column another type"),
        "enum" => Ok(Equality::Values),
        "uuid" => Ok(Equality::Uuids),
        kind if is_text(kind) => {
            let Some(collation) = collation.filter(|_| text) else {
                return Ok(Equality::of_values(&DataType::Null));
            };
            let kept = Tables::of(policy);
            if (kept.queue || kept.shadow) && !collation.binary && !collation.readable {
                return refused(
                    format!("has the collation {}", collation.name),
                    "conflicts that wait and the shadow are found by their key: give the column a collation that ends in _bin or _general_ci",
                );
            }
            // A char loses its blanks whatever its collation says.
            let padding = collation.pads || kind == "char";
            Ok(match (collation.binary, collation.common) {
                (true, _) if !padding => Equality::Values,
                (true, _) => Equality::Texts(Texts {
                    padding,
                    ..Texts::default()
                }),
                (false, true) => Equality::Texts(Texts {
                    case: true,
                    padding,
                    ascii_only: true,
                    ..Texts::default()
                }),
                (false, false) => Equality::Asked,
            })
        }
        bytes if is_binary(bytes) => Ok(Equality::Values),
        "float" | "double" if !text => Ok(Equality::of_values(field.data_type())),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "float"
        | "double" | "year" => Ok(if text {
            Equality::Texts(numbers)
        } else {
            Equality::Values
        }),
        "bit" | "date" | "time" | "datetime" | "timestamp" => Ok(Equality::Values),
        other => refused(
            format!("has the type {other}"),
            "give the key column another type",
        ),
    }
}

/// How the target writes these texts of a key column.
pub(super) async fn ask(
    session: &mut Session,
    collation: Option<&Collation>,
    texts: &[String],
) -> Result<Vec<String>, Failure> {
    let Some(collation) = collation else {
        return Ok(texts.to_vec());
    };
    let mut answers = Vec::with_capacity(texts.len());
    let mut first: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    for some in texts.chunks(ASKED_MAX) {
        let terms: Vec<String> = some.iter().map(|text| question(collation, text)).collect();
        let sql = format!("SELECT {}", terms.join(", "));
        let row = session.query(&sql).await?.pop().unwrap_or_default();
        for (place, text) in some.iter().enumerate() {
            let answer = row.get(place).cloned().flatten();
            answers.push(match answer {
                // The target cannot hold it, and refuses the row.
                None => text.clone(),
                Some(form) if collation.readable => form,
                Some(weights) => first.entry(weights).or_insert_with(|| text.clone()).clone(),
            });
        }
    }
    Ok(answers)
}

/// What stands for a text; null where the character set has no such text.
fn question(collation: &Collation, text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    // An empty literal in hexadecimal is one, too.
    let sent = format!("CONVERT(x'{hex}' USING utf8mb4)");
    let typed = format!(
        "CONVERT({sent} USING {}) COLLATE {}",
        collation.charset(),
        collation.name
    );
    let weights = collation.weights(&typed);
    let answer = if collation.readable {
        format!("CONVERT(CONVERT(CAST({weights} AS BINARY) USING ucs2) USING utf8mb4)")
    } else {
        format!("HEX({weights})")
    };
    if collation.charset() == "utf8mb4" {
        return answer;
    }
    format!(
        "CASE WHEN CAST(CONVERT(CONVERT({sent} USING {}) USING utf8mb4) AS BINARY) = x'{hex}' THEN {answer} END",
        collation.charset()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collation_says_by_its_name_what_counts() {
        let check = |name: &str, expect: (bool, bool, bool, bool)| {
            let found = Collation::of(name);
            let found = (found.binary, found.pads, found.common, found.readable);
            assert_eq!(found, expect, "{name}");
        };
        check("utf8mb4_general_ci", (false, true, true, true));
        check("utf8mb4_general_nopad_ci", (false, false, true, true));
        check("utf8mb4_unicode_ci", (false, true, true, false));
        check("utf8mb4_0900_ai_ci", (false, false, true, false));
        check("utf8mb4_0900_as_cs", (false, false, false, false));
        check("utf8mb4_swedish_ci", (false, true, false, false));
        check("utf8mb4_bin", (true, true, false, false));
        check("utf8mb4_nopad_bin", (true, false, false, false));
        check("utf8mb4_0900_bin", (true, false, false, false));
        check("latin1_swedish_ci", (false, true, true, false));
    }
}
