//! What the database's errors mean for a write (R16), by their number and SQLSTATE.
//!
//! A refused value never gets into a message: MySQL quotes it, and it is taken out.

use sqlx::mysql::MySqlDatabaseError;

use crate::error::Error;
use crate::sql::failure::{Cause, of_driver};
pub(super) use crate::sql::failure::{Failure, Refused};

/// Sorts an error of the driver; `doing` says what failed, on which thing.
pub(super) fn failure(doing: &str, error: sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = error else {
        return Failure::Error(of_driver(doing, error));
    };
    let Some(mysql) = database.try_downcast_ref::<MySqlDatabaseError>() else {
        return Failure::Error(Error::configuration_from(
            doing,
            sqlx::Error::Database(database),
        ));
    };
    let (number, state) = (mysql.number(), mysql.code().unwrap_or_default());
    let message = without_row(&without_values(mysql.message()));
    let text = format!("{doing}: {message} ({number})");
    let configuration = |remedy: &str| Error::configuration(format!("{text}: {remedy}"));
    match class(number, state) {
        Class::Unavailable => Failure::Error(Error::Unavailable {
            message: text,
            cause: None,
        }),
        Class::Data => Failure::Data(refused(number, state, message)),
        Class::Stale => Failure::Stale(configuration(
            "the table is not what the sink expects: compare it with the columns of the changes",
        )),
        Class::Configuration => Failure::Error(configuration(match number {
            1044 | 1142 | 1143 | 1227 | 1370 => "grant the sink's user what it needs",
            1045 | 1698 => "correct user and password in the url",
            1049 => "create the database or correct the url",
            1665 => "set binlog_format = ROW or MIXED on the server",
            _ => "correct the sink's options or the table",
        })),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Data,
    Stale,
    Configuration,
}

/// Class of an error (MySQL's and MariaDB's error references). A number that both use for different
/// things is told apart by its SQLSTATE.
fn class(number: u16, state: &str) -> Class {
    match number {
        // Full disks and full tables, connections, locks, time-outs, shutdown, kills, read-only and
        // not yet ready servers: outages, not poison.
        1020
        | 1021
        | 1026
        | 1028
        | 1030
        | 1037
        | 1038
        | 1040
        | 1041
        | 1047
        | 1053
        | 1077
        | 1078
        | 1079
        | 1080
        | 1099
        | 1100
        | 1114
        | 1129
        | 1152
        | 1154..=1161
        | 1180
        | 1181
        | 1184
        | 1192
        | 1203
        | 1205
        | 1206
        | 1213
        | 1223
        | 1226
        | 1290
        | 1317
        | 1399
        | 1402
        | 1412
        | 1429
        | 1430
        | 1614
        | 1637
        | 1792
        | 1836
        | 1927
        | 1969
        | 2006
        | 2013
        | 3024
        | 3032
        | 3100
        | 3101
        | 3168
        | 3169
        | 3572
        | 4031 => Class::Unavailable,
        // A column or a table that is no longer there, or there already.
        1050 | 1051 | 1054 | 1060 | 1072 | 1091 | 1146 | 1615 => Class::Stale,
        // Values, keys, checks; a trigger that signals; no partition for a value.
        1048 | 1062 | 1364 | 1169 | 1216 | 1217 | 1264 | 1265 | 1292 | 1300 | 1366 | 1367
        | 1369 | 1406 | 1411 | 1416 | 1441 | 1451 | 1452 | 1525 | 1526 | 1586 | 1644 | 1690
        | 1748 | 1761 | 1762 | 3140 | 3141 | 3156 | 3819 | 3854 | 3903 | 3988 => Class::Data,
        4025 if state == "23000" => Class::Data,
        _ => match state.get(..2).unwrap_or_default() {
            // 08 connection, 40 rollback, 70 and 57 kills.
            "08" | "40" | "57" | "70" => Class::Unavailable,
            // Syntax and rights, log-in, catalogue, transaction state, what the server does not support.
            "42" | "28" | "3D" | "25" | "0A" => Class::Configuration,
            // Anything else can come from a trigger, about one row.
            _ => Class::Data,
        },
    }
}

/// What can cause a refusal of this number and SQLSTATE.
fn cause(number: u16, state: &str) -> Cause {
    match number {
        1216 | 1217 | 1451 | 1452 => Cause::Reference,
        1048 | 1364 | 1264 | 1265 | 1292 | 1300 | 1366 | 1367 | 1406 | 1411 | 3140 | 3819 => {
            Cause::Values
        }
        4025 if state == "23000" => Cause::Values,
        _ => Cause::Other,
    }
}

/// The refusal of a row for its own values; `None` where the error says something else.
pub(super) fn refused_values(number: u16, state: &str, message: &str) -> Option<Refused> {
    let is_values = class(number, state) == Class::Data && cause(number, state) == Cause::Values;
    is_values.then(|| refused(number, state, without_row(&without_values(message))))
}

fn refused(number: u16, state: &str, message: String) -> Refused {
    Refused {
        rule: match name(number) {
            Some(name) => format!("{number} {name}"),
            None => number.to_string(),
        },
        field: column(&message),
        cause: cause(number, state),
        duplicate: (number == 1062).then(|| index(&message)),
        reason: message,
    }
}

fn name(number: u16) -> Option<&'static str> {
    Some(match number {
        1048 => "column_cannot_be_null",
        1062 => "duplicate_entry",
        1364 => "no_default_for_field",
        1216 | 1452 => "no_referenced_row",
        1217 | 1451 => "row_is_referenced",
        1264 => "out_of_range",
        1265 => "data_truncated",
        1292 => "incorrect_value",
        1366 => "incorrect_value_for_column",
        1406 => "data_too_long",
        1526 => "no_partition_for_value",
        1644 => "signal",
        1690 => "out_of_range_in_expression",
        3140 => "invalid_json",
        3819 | 4025 => "check_constraint_violated",
        _ => return None,
    })
}

/// Without the value that MySQL quotes after `value:`, `entry` or `value`.
fn without_values(message: &str) -> String {
    for start in ["value: '", "Duplicate entry '", "value '"] {
        let Some((before, rest)) = message.split_once(start) else {
            continue;
        };
        // The value may hold these words itself: the last ones are the message's own.
        let end = ["' for ", "' in ", "' at row "]
            .iter()
            .filter_map(|end| rest.rfind(end))
            .max()
            .or_else(|| rest.rfind('\''))
            .unwrap_or(rest.len());
        return format!("{before}{start}…{}", &rest[end..]);
    }
    message.to_owned()
}

/// Without the number of the row in our statement, which says nothing about the source's.
fn without_row(message: &str) -> String {
    match message.rsplit_once(" at row ") {
        Some((before, row)) if row.bytes().all(|digit| digit.is_ascii_digit()) => before.to_owned(),
        _ => message.to_owned(),
    }
}

/// The column that a message names: `column 'c'`, ``column `db`.`table`.`c` ``, `Column 'c'`.
fn column(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once("olumn ")?;
    let (names, mark) = match rest.chars().next()? {
        '\'' => (&rest[1..], '\''),
        '`' => (
            rest.rsplit_once(".`").map_or(&rest[1..], |(_, last)| last),
            '`',
        ),
        _ => return None,
    };
    let (name, _) = names.split_once(mark)?;
    Some(name.to_owned())
}

/// The index of `Duplicate entry … for key 'table.index'`; MariaDB leaves the table out.
fn index(message: &str) -> String {
    let name = message
        .rsplit_once("for key ")
        .map_or("", |(_, name)| name)
        .trim_matches(['\'', '`']);
    name.rsplit_once('.')
        .map_or(name, |(_, index)| index)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_not_poison_r16() {
        let check = |numbers: &[u16], state: &str, expect: Class| {
            for &number in numbers {
                assert_eq!(class(number, state), expect, "{number} {state}");
            }
        };
        check(
            &[
                1021, 1040, 1053, 1114, 1205, 1213, 1290, 1836, 1927, 1969, 2006, 2013, 3024,
            ],
            "HY000",
            Class::Unavailable,
        );
        check(
            &[
                1048, 1062, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1644, 3819,
            ],
            "HY000",
            Class::Data,
        );
        check(&[4025, 9999], "23000", Class::Data);
        // Numbers that a trigger signals.
        check(&[4025, 30_001, 999], "HY000", Class::Data);
        check(&[30_001], "ABCDE", Class::Data);
        check(
            &[1044, 1045, 1049, 1064, 1142, 1665],
            "42000",
            Class::Configuration,
        );
        check(&[1054, 1146], "42S22", Class::Stale);
    }

    #[test]
    fn values_are_taken_out_of_messages() {
        let check = |message: &str, expect: &str, field: Option<&str>| {
            let found = without_row(&without_values(message));
            assert_eq!(found, expect);
            assert_eq!(column(&found).as_deref(), field);
        };
        check(
            "Incorrect integer value: 'can' for key 'ary' for column `d`.`t`.`v` at row 17",
            "Incorrect integer value: '…' for column `d`.`t`.`v`",
            Some("v"),
        );
        check(
            "Duplicate entry 'can''ary' for key 't.email'",
            "Duplicate entry '…' for key 't.email'",
            None,
        );
        check(
            "Truncated incorrect DOUBLE value: 'canary'",
            "Truncated incorrect DOUBLE value: '…'",
            None,
        );
        check(
            "Data too long for column 'name' at row 1",
            "Data too long for column 'name'",
            Some("name"),
        );
        check(
            "Column 'name' cannot be null",
            "Column 'name' cannot be null",
            Some("name"),
        );
    }

    #[test]
    fn the_index_of_a_duplicate_is_known() {
        assert_eq!(index("Duplicate entry '…' for key 't.email'"), "email");
        assert_eq!(index("Duplicate entry '…' for key 'PRIMARY'"), "PRIMARY");
    }
}
