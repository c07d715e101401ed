//! Why an attempt to write failed, and what the engine does about it (R16). Every database sorts its
//! driver's errors into these.

use crate::error::{Error, RejectedChange};

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As it is for the caller.
    Error(Error),
    /// The target is not what it was when it was prepared: prepare anew. The error, if it stays so.
    Stale(Error),
    /// Another session inserted a row of this write meanwhile: decide anew. The error, if that happens
    /// again and again.
    ConcurrentInsert(Error),
    /// The database refused a value: which change it was has yet to be found.
    Data(Refused),
    /// The database refused these rows one by one, each with its batch and row.
    Rows(Vec<RefusedRow>),
}

/// A row that the database refused by itself, with its batch and row in the write.
pub(crate) type RefusedRow = ((usize, usize), Refused);

/// A refusal of data.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The database's code and its name where it is a common one, or a rule of ours.
    pub(crate) rule: String,
    /// The column, where the database says it.
    pub(crate) field: Option<String>,
    /// The message without the value.
    pub(crate) reason: String,
    /// What can cause the refusal.
    pub(crate) cause: Cause,
    /// The unique index that holds such a row already, where the database says it.
    pub(crate) duplicate: Option<String>,
}

/// What can cause a refusal of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The row's own values: it is refused wherever it stands in the order of the changes.
    Values,
    /// A row that a foreign key needs is missing, or still refers to this one.
    Reference,
    /// Possibly other rows or changes: a unique index, a trigger, or the database does not say.
    Other,
}

impl Refused {
    /// By a rule of ours.
    pub(crate) fn new(rule: &str, field: Option<String>, reason: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            field,
            reason: reason.to_owned(),
            cause: Cause::Values,
            duplicate: None,
        }
    }

    /// What a rule of ours refused, by the first of its rows.
    pub(crate) fn by_rule(rejected: Vec<RejectedChange>) -> Self {
        let first = rejected.into_iter().next();
        let (rule, field, reason) = first
            .map(|first| (first.rule, first.field, first.reason))
            .unwrap_or_default();
        Self::new(&rule, field, &reason)
    }

    /// As the rejection of one change.
    pub(crate) fn of_change(&self, batch: usize, row: usize) -> RejectedChange {
        RejectedChange {
            batch,
            row,
            rule: self.rule.clone(),
            field: self.field.clone(),
            reason: self.reason.clone(),
        }
    }
}

impl Failure {
    /// For calls that write no rows: data cannot be at fault there.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Error(error) | Self::Stale(error) | Self::ConcurrentInsert(error) => error,
            Self::Data(refused) => {
                Error::configuration(format!("{}: {}", refused.rule, refused.reason))
            }
            Self::Rows(rows) => Error::Rejected(rejections(rows)),
        }
    }
}

/// The rows as rejected changes.
pub(crate) fn rejections(rows: Vec<RefusedRow>) -> Vec<RejectedChange> {
    let rows = rows.into_iter();
    rows.map(|((batch, row), refused)| refused.of_change(batch, row))
        .collect()
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.into_error()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// An error of the driver that is not the database's own answer: no connection, or TLS that cannot be
/// agreed on. A certificate that is refused, or TLS that one side does not speak, does not pass by itself.
pub(crate) fn of_driver(doing: &str, error: sqlx::Error) -> Error {
    let is_certificate = |cause: &std::io::Error| {
        cause.kind() == std::io::ErrorKind::InvalidData && cause.to_string().contains("certificate")
    };
    let refused = match &error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(cause) => is_certificate(cause),
        _ => false,
    };
    if refused {
        let remedy = "check the TLS mode of the url, the authority that signed the server's certificate, and that the url names the server as its certificate does";
        return Error::configuration_from(format!("{doing}: {remedy}"), error);
    }
    Error::unavailable(format!("{doing}: no answer from the database"), error)
}

/// The first words of a statement, for messages.
pub(crate) fn describe(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().take(3).collect();
    format!("running {} …", words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_refused_certificate_is_no_outage_r16() {
        let io = |kind, text: &str| sqlx::Error::Io(io::Error::new(kind, text));
        let cases = [
            (
                io(
                    io::ErrorKind::InvalidData,
                    "invalid peer certificate: UnknownIssuer",
                ),
                false,
            ),
            (
                sqlx::Error::Tls("server does not support TLS".into()),
                false,
            ),
            (io(io::ErrorKind::InvalidData, "unexpected message"), true),
            (io(io::ErrorKind::ConnectionReset, "certificate"), true),
            (sqlx::Error::PoolTimedOut, true),
        ];
        for (error, outage) in cases {
            let text = error.to_string();
            let found = of_driver("connecting", error);
            assert_eq!(matches!(found, Error::Unavailable { .. }), outage, "{text}");
        }
    }
}
