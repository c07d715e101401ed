//! What an error of SQLite asks of the caller (R16). A full disk is an outage, not poison.

use rusqlite::{Error as Sqlite, ErrorCode};

use crate::error::Error;
pub(super) use crate::sql::failure::{Failure, Refused};

/// An error of a statement that writes one row.
pub(super) fn of_row(table: &str, error: Sqlite) -> Failure {
    let code = error.sqlite_error_code();
    let rule = match code {
        Some(ErrorCode::ConstraintViolation) => "sqlite constraint",
        Some(ErrorCode::TypeMismatch) => "sqlite mismatch",
        Some(ErrorCode::TooBig) => "sqlite too big",
        _ => return Failure::Error(of_statement(&format!("writing table {table:?}"), error)),
    };
    // SQLite names the constraint, never the value.
    let reason = match &error {
        Sqlite::SqliteFailure(_, Some(message)) => message.clone(),
        _ => error.to_string(),
    };
    let field = reason
        .rsplit_once(": ")
        .and_then(|(_, columns)| columns.split(", ").next())
        .and_then(|column| column.rsplit_once('.'))
        .map(|(_, column)| column.to_owned());
    Failure::Data(Refused::new(rule, field, &reason))
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
