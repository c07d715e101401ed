use arrow::datatypes::{DataType, Field};

use super::*;
use crate::postgres::POSTGRES;

fn column(name: &str, sql_type: &str) -> TargetColumn {
    TargetColumn {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        nullable: name != "id",
        has_default: false,
        generated: false,
        identity: false,
    }
}

/// `fields` against a table of `columns` with the primary key `id`: the statements and where
/// the columns go, or a part of the error.
fn check(
    evolution: Evolution,
    fields: &[(&str, DataType)],
    columns: Option<&[(&str, &str)]>,
    expect: Result<(&[&str], &str), &str>,
) {
    let fields: arrow::datatypes::Fields = fields
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
        .collect();
    let schema = Schema::new(fields);
    let table = columns.map(|columns| TargetTable {
        columns: columns
            .iter()
            .map(|(name, text)| column(name, text))
            .collect(),
        unique: vec![vec!["id".to_owned()]],
        primary: Some(0),
        other_constraints: false,
    });
    let key = ["id".to_owned()];
    let wanted = Wanted {
        target: "t",
        schema: &schema,
        key: &key,
        soft_delete_column: None,
        case: Case::Fold,
        kinds: &[],
    };
    let plan = plan(&POSTGRES, &wanted, table.as_ref(), evolution);
    match (plan, expect) {
        (Ok(plan), Ok((statements, columns))) => {
            let found: Vec<String> = plan
                .actions
                .iter()
                .map(|action| statement(&POSTGRES, "t", action).unwrap())
                .collect();
            assert_eq!(found, statements);
            let found: Vec<&str> = plan
                .columns
                .iter()
                .map(|column| column.as_deref().unwrap_or("-"))
                .collect();
            assert_eq!(found.join(" "), columns);
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expect) => panic!("found {found:?}, expected {expect:?}"),
    }
}

const ID: (&str, DataType) = ("id", DataType::Int64);

#[test]
fn tables_are_created_and_columns_added_where_evolution_allows() {
    use Evolution::{Evolve, Fail, Ignore, Lenient};
    let fields = [ID, ("name", DataType::Utf8)];
    let create = "CREATE TABLE t (\"id\" bigint NOT NULL, \"name\" text, PRIMARY KEY (\"id\"))";
    check(Evolve, &fields, None, Ok((&[create], "id name")));
    check(Lenient, &fields, None, Ok((&[create], "id name")));
    check(Fail, &fields, None, Err("evolution = \"evolve\""));
    check(Ignore, &fields, None, Err("does not exist"));
    let older: &[(&str, &str)] = &[("id", "bigint")];
    let add = "ALTER TABLE t ADD COLUMN \"name\" text";
    check(Evolve, &fields, Some(older), Ok((&[add], "id name")));
    check(Ignore, &fields, Some(older), Ok((&[], "id -")));
    check(
        Fail,
        &fields,
        Some(older),
        Err("column \"name\" of table \"t\" is missing"),
    );
}

#[test]
fn types_are_widened_and_an_older_schema_never_narrows_r15() {
    use Evolution::{Evolve, Fail};
    let narrow: &[(&str, &str)] = &[("id", "bigint"), ("n", "integer")];
    let wide: &[(&str, &str)] = &[("id", "bigint"), ("n", "bigint"), ("more", "text")];
    let widen = "ALTER TABLE t ALTER COLUMN \"n\" TYPE bigint";
    let newer = [ID, ("n", DataType::Int64)];
    let older = [ID, ("n", DataType::Int32)];
    check(Evolve, &newer, Some(narrow), Ok((&[widen], "id n")));
    check(Fail, &newer, Some(narrow), Ok((&[], "id n")));
    check(Evolve, &older, Some(wide), Ok((&[], "id n")));
    let float = [ID, ("n", DataType::Float64)];
    check(
        Evolve,
        &float,
        Some(narrow),
        Err("cast it in a map operator"),
    );
}

#[test]
fn lenient_renames_once_and_the_older_schema_finds_its_column() {
    use Evolution::Lenient;
    let integer: &[(&str, &str)] = &[("id", "bigint"), ("n", "integer")];
    let renamed: &[(&str, &str)] = &[("id", "bigint"), ("n_v1", "integer"), ("n", "text")];
    let text = [ID, ("n", DataType::Utf8)];
    check(
        Lenient,
        &text,
        Some(integer),
        Ok((
            &[
                "ALTER TABLE t RENAME COLUMN \"n\" TO \"n_v1\"",
                "ALTER TABLE t ADD COLUMN \"n\" text",
            ],
            "id n",
        )),
    );
    check(Lenient, &text, Some(renamed), Ok((&[], "id n")));
    let float: &[(&str, &str)] = &[("id", "bigint"), ("n_v1", "text"), ("n", "integer")];
    check(Lenient, &text, Some(float), Ok((&[], "id n_v1")));
    let key = [("id", DataType::Float64)];
    check(Lenient, &key, Some(integer), Err("part of the key"));
}

#[test]
fn a_key_without_a_unique_index_and_a_required_column_are_refused() {
    let table = TargetTable {
        columns: vec![column("id", "bigint")],
        unique: Vec::new(),
        primary: None,
        other_constraints: false,
    };
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let key = ["id".to_owned()];
    let wanted = Wanted {
        target: "t",
        schema: &schema,
        key: &key,
        soft_delete_column: None,
        case: Case::Fold,
        kinds: &[],
    };
    let error = plan(&POSTGRES, &wanted, Some(&table), Evolution::Fail).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no unique index over the key (id)"),
        "{error}"
    );

    let mut required = column("must", "text");
    required.nullable = false;
    let table = TargetTable {
        columns: vec![column("id", "bigint"), required],
        unique: vec![key.to_vec()],
        primary: Some(0),
        other_constraints: false,
    };
    let error = plan(&POSTGRES, &wanted, Some(&table), Evolution::Fail).unwrap_err();
    assert!(error.to_string().contains("column \"must\""), "{error}");
}

#[test]
fn soft_deletes_bring_their_column() {
    let table = TargetTable {
        columns: vec![column("id", "bigint")],
        unique: vec![vec!["id".to_owned()]],
        primary: Some(0),
        other_constraints: false,
    };
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let key = ["id".to_owned()];
    let wanted = Wanted {
        target: "t",
        schema: &schema,
        key: &key,
        soft_delete_column: Some("_deleted"),
        case: Case::Fold,
        kinds: &[],
    };
    let planned = plan(&POSTGRES, &wanted, Some(&table), Evolution::Evolve).unwrap();
    assert_eq!(planned.actions.len(), 1);
    let error = plan(&POSTGRES, &wanted, Some(&table), Evolution::Fail).unwrap_err();
    assert!(error.to_string().contains("_deleted"), "{error}");
}

#[test]
fn the_default_key_is_the_primary_one_or_the_only_one_without_nulls() {
    let check = |unique: &[&[&str]], primary: Option<usize>, expect: Option<&[&str]>| {
        let column = |name: &str| TargetColumn {
            name: name.to_owned(),
            sql_type: "bigint".to_owned(),
            nullable: name.starts_with("maybe"),
            has_default: false,
            generated: false,
            identity: false,
        };
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let table = TargetTable {
            columns: ["id", "code", "maybe"].map(column).into(),
            unique: unique.iter().map(|unique| names(unique)).collect(),
            primary,
            other_constraints: false,
        };
        let expect: Option<Vec<String>> = expect.map(names);
        assert_eq!(table.default_key(), expect.as_deref(), "{unique:?}");
    };
    check(&[&["code"], &["id"]], Some(1), Some(&["id"]));
    check(&[&["id", "code"]], None, Some(&["id", "code"]));
    check(&[&["code"], &["maybe"]], None, Some(&["code"]));
    check(&[&["code"], &["id"]], None, None);
    check(&[&["maybe"]], None, None);
    check(&[&["id", "maybe"]], None, None);
    check(&[], None, None);
}
