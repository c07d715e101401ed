//! What the database's errors mean for a write (R16), by SQLSTATE.
//!
//! A refused value never gets into a message: Postgres quotes it in errors of class 22, and it is
//! taken out there.

use sqlx::postgres::PgDatabaseError;

use crate::error::Error;
use crate::sql::failure::{Cause, of_driver};
pub(super) use crate::sql::failure::{Failure, Refused};

/// Sorts an error of the driver; `doing` says what failed, on which thing.
pub(super) fn failure(doing: &str, error: sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = error else {
        return Failure::Error(of_driver(doing, error));
    };
    let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() else {
        return Failure::Error(Error::configuration_from(
            doing,
            sqlx::Error::Database(database),
        ));
    };
    let code = postgres.code();
    let message = without_values(code, postgres.message());
    let text = format!("{doing}: {message} ({code})");
    let configuration = |remedy: &str| Error::configuration(format!("{text}: {remedy}"));
    match (class(code), code) {
        (Class::Unavailable, _) => Failure::Error(Error::Unavailable {
            message: text,
            cause: None,
        }),
        (Class::Data, _) => {
            let field = postgres.column().map(str::to_owned);
            Failure::Data(refused(code, message, field))
        }
        (Class::Stale, _) => Failure::Stale(configuration(
            "the table is not what the sink expects: compare it with the columns of the changes",
        )),
        (Class::Configuration, "42501") => {
            Failure::Error(configuration("grant the sink's user what it needs"))
        }
        (Class::Configuration, "21000") => Failure::Error(configuration(
            "two keys of the source are one key in the target: change the type or collation of the key column",
        )),
        (Class::Configuration, "3D000") => {
            Failure::Error(configuration("create the database or correct the url"))
        }
        (Class::Configuration, _) if code.starts_with("28") => {
            Failure::Error(configuration("correct user and password in the url"))
        }
        (Class::Configuration, _) => {
            Failure::Error(configuration("correct the sink's options or the table"))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Data,
    Stale,
    Configuration,
}

/// Class of a SQLSTATE (PostgreSQL documentation, appendix A). The outages are a closed list: any other
/// code can come from a trigger, a domain or an extension, about one row.
fn class(code: &str) -> Class {
    match code {
        // A plan, a column, a table, a type or a unique index that is no longer there, or a table or
        // column that is there already.
        "0A000" | "42703" | "42P01" | "42804" | "42P10" | "428C9" | "42846" | "42P07" | "42701" => {
            Class::Stale
        }
        "28000" | "28P01" | "3D000" | "3F000" | "21000" => Class::Configuration,
        // A standby, an open transaction that failed, an object or a lock that others hold, damaged
        // data files.
        "25006" | "25P02" | "25P03" | "55006" | "55P03" | "XX001" | "XX002" => Class::Unavailable,
        _ => match code.get(..2).unwrap_or_default() {
            "42" | "0L" | "0P" | "28" => Class::Configuration,
            // 08 connection, 26 a statement that a pooler forgot, 40 rollback, 53 resources (a full
            // disk is an outage), 57 shutdown and time-outs, 58 the system, F0 its configuration.
            "08" | "26" | "40" | "53" | "57" | "58" | "F0" => Class::Unavailable,
            _ => Class::Data,
        },
    }
}

/// What can cause a refusal of this SQLSTATE.
fn cause(code: &str) -> Cause {
    match code {
        "23502" | "23514" => Cause::Values,
        "23503" => Cause::Reference,
        _ if code.starts_with("22") => Cause::Values,
        _ => Cause::Other,
    }
}

/// The refusal of a row for its own values; `None` where the code says something else.
pub(super) fn refused_values(code: &str, message: &str, field: Option<String>) -> Option<Refused> {
    let is_values = class(code) == Class::Data && cause(code) == Cause::Values;
    is_values.then(|| refused(code, without_values(code, message), field))
}

fn refused(code: &str, reason: String, field: Option<String>) -> Refused {
    Refused {
        rule: match name(code) {
            Some(name) => format!("{code} {name}"),
            None => code.to_owned(),
        },
        field,
        reason,
        cause: cause(code),
        duplicate: None,
    }
}

fn name(code: &str) -> Option<&'static str> {
    Some(match code {
        "22001" => "string_data_right_truncation",
        "22003" => "numeric_value_out_of_range",
        "22007" => "invalid_datetime_format",
        "22008" => "datetime_field_overflow",
        "22021" => "character_not_in_repertoire",
        "22026" => "string_data_length_mismatch",
        "22P02" => "invalid_text_representation",
        "22P03" => "invalid_binary_representation",
        "23502" => "not_null_violation",
        "23503" => "foreign_key_violation",
        "23505" => "unique_violation",
        "23514" => "check_violation",
        "23P01" => "exclusion_violation",
        "54000" => "program_limit_exceeded",
        "P0001" => "raise_exception",
        _ => return None,
    })
}

/// Class 22 quotes the value that it refuses.
fn without_values(code: &str, message: &str) -> String {
    if !code.starts_with("22") {
        return message.to_owned();
    }
    match message.split_once('"') {
        Some((before, rest)) => {
            let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
            format!("{before}\"…\"{after}")
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expect: Class) {
        assert_eq!(class(code), expect, "{code}");
    }

    #[test]
    fn an_outage_is_not_poison_r16() {
        for code in [
            "40001", "40P01", "08006", "57P01", "57014", "53100", "53300", "55P03", "25006",
        ] {
            check(code, Class::Unavailable);
        }
        // Codes that a trigger or an extension raises about a row, those that nobody knows among them.
        for code in [
            "22001", "22P02", "23502", "23503", "23505", "23514", "P0001", "P0002", "P0004",
            "PT422", "XX000", "55000", "44000", "54000", "38001", "ZZ999",
        ] {
            check(code, Class::Data);
        }
        for code in ["42501", "28P01", "3D000", "42601"] {
            check(code, Class::Configuration);
        }
        for code in ["42703", "42P01", "0A000"] {
            check(code, Class::Stale);
        }
    }

    #[test]
    fn values_are_taken_out_of_messages() {
        assert_eq!(
            without_values(
                "22P02",
                "invalid input syntax for type integer: \"se\"cret\""
            ),
            "invalid input syntax for type integer: \"…\""
        );
        assert_eq!(
            without_values("22003", "value \"99\" is out of range for type integer"),
            "value \"…\" is out of range for type integer"
        );
        assert_eq!(
            without_values("23502", "null value in column \"name\""),
            "null value in column \"name\""
        );
    }
}
