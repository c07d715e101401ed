//! Where staged rows are, as SQL: the staging table, or arrays that are bound in its stead.
//!
//! Columns are numbered, so that no name of the source can collide or be too long.

use super::wire_type::bound_types;

/// A column of the target: its number, and the type of its values before they are converted.
pub(super) type StagedColumn = (usize, &'static str);

/// Columns that stand before those of the target in a staged row, with their types.
pub(super) const FIXED: [(&str, &str); 5] = [
    ("row", "integer"),
    ("op", "smallint"),
    ("pattern", "smallint"),
    ("event", "timestamp with time zone"),
    ("kept", "bytea"),
];

/// Rows of bound arrays, one array for each column: these of [`FIXED`] and then `columns`. `None` where a
/// column holds arrays, of which the server makes no rows.
pub(super) fn bound_rows(
    fixed: usize,
    columns: impl Iterator<Item = StagedColumn> + Clone,
) -> Option<String> {
    columns
        .clone()
        .try_for_each(|(_, staged)| bound_types(staged).map(drop))?;
    let fixed = FIXED[..fixed].iter();
    let of_target = columns.map(|(index, staged)| (format!("c{index}"), staged));
    let all = fixed
        .map(|(name, staged)| ((*name).to_owned(), *staged))
        .chain(of_target);
    let (mut arrays, mut names) = (Vec::new(), Vec::new());
    for (index, (name, staged)) in all.enumerate() {
        arrays.push(format!("${}::{staged}[]", index + 1));
        names.push(name);
    }
    Some(format!(
        "unnest({}) AS s({})",
        arrays.join(", "),
        names.join(", ")
    ))
}

/// The statement that makes a staging table.
pub(super) fn create(
    table: &str,
    fixed: usize,
    columns: impl Iterator<Item = StagedColumn>,
) -> String {
    let name = table.trim_start_matches("pg_temp.");
    let fixed = FIXED[..fixed].iter();
    let fixed = fixed.map(|(name, sql_type)| format!("{name} {sql_type}"));
    let columns = columns.map(|(index, staged)| format!("c{index} {staged}"));
    let columns: Vec<String> = fixed.chain(columns).collect();
    format!(
        "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({}) ON COMMIT DELETE ROWS",
        columns.join(", ")
    )
}
