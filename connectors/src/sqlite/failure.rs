//! What an error of SQLite asks of the caller (R16). A full disk is an outage, not poison.

use rusqlite::{Error as Sqlite, ErrorCode, ffi};

use crate::error::Error;
use crate::sql::failure::Cause;
pub(super) use crate::sql::failure::{Failure, Refused};

/// An error of a statement that writes one row. What is no outage of [`of_statement`] is about the row:
/// a trigger or an expression of the table can fail in any way.
pub(super) fn of_row(table: &str, error: Sqlite) -> Failure {
    let doing = || format!("writing table {table:?}");
    let Sqlite::SqliteFailure(code, message) = &error else {
        return Failure::Error(of_statement(&doing(), error));
    };
    // SQLite names the constraint, never the value.
    let reason = message.clone().unwrap_or_else(|| error.to_string());
    let rule = match code.code {
        ErrorCode::ConstraintViolation => "sqlite constraint",
        ErrorCode::TypeMismatch => "sqlite mismatch",
        ErrorCode::TooBig => "sqlite too big",
        ErrorCode::Unknown if is_schema(&reason) => {
            return Failure::Stale(of_statement(&doing(), error));
        }
        ErrorCode::Unknown => "sqlite error",
        _ => return Failure::Error(of_statement(&doing(), error)),
    };
    let cause = match code.extended_code {
        ffi::SQLITE_CONSTRAINT_NOTNULL | ffi::SQLITE_CONSTRAINT_CHECK => Cause::Values,
        ffi::SQLITE_CONSTRAINT_DATATYPE | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG => {
            Cause::Values
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Cause::Reference,
        _ => Cause::Other,
    };
    let field = reason
        .rsplit_once(": ")
        .and_then(|(_, columns)| columns.split(", ").next())
        .and_then(|column| column.rsplit_once('.'))
        .map(|(_, column)| column.to_owned());
    Failure::Data(Refused {
        cause,
        ..Refused::new(rule, field, &reason)
    })
}

/// Whether a message says that the schema is not what it was.
fn is_schema(message: &str) -> bool {
    ["no such table: ", "no such column: "]
        .iter()
        .any(|start| message.starts_with(start))
        || message.contains(" has no column named ")
}

/// An error of anything else.
pub(super) fn of_statement(doing: &str, error: Sqlite) -> Error {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted,
        ) => Error::unavailable(format!("{doing} failed"), error),
        Some(ErrorCode::NotADatabase) => Error::configuration_from(
            format!("{doing} failed, the file is no SQLite database: correct path = \"…\""),
            error,
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::configuration_from(
            format!("{doing} failed, the file cannot be written: change its permissions"),
            error,
        ),
        Some(ErrorCode::DatabaseCorrupt) => Error::configuration_from(
            format!("{doing} failed, the file is damaged: restore it from a copy"),
            error,
        ),
        _ => Error::configuration_from(format!("{doing} failed"), error),
    }
}
