//! A table with a column of every type, copied to a table of the same types and compared cell by cell.

use super::{run, sink, source};
use crate::harness::{Pipeline, Target};

/// Columns and rows of every type of a database; the first column is the key.
fn table(kind: &str) -> (&'static str, &'static [&'static str]) {
    match kind {
        "postgres" => (
            "id bigint PRIMARY KEY, s smallint, i integer, r real, d double precision, b boolean, \
             n numeric, p numeric(30, 10), t text, c char(5), v varchar(9), y bytea, da date, ti time, \
             ts timestamp, tz timestamptz, tt timetz, iv interval, u uuid, j json, jb jsonb, x xml, \
             bi bit(3), bv bit varying, ia integer[], ta text[], na numeric[], inet inet, m money, \
             o oid, ra int4range",
            &[
                "1, -32768, 2147483647, 'NaN', '-Infinity', true, 'NaN', 12345678901234567890.0123456789, \
                 E'a\\nb\\t\"\\\\ü😀', 'ab', '', '\\x00ff5c', '2024-02-29', '24:00:00', 'infinity', \
                 '-infinity', '01:02:03.5+03:30', 'P1Y2M3DT4H5M6.7S', \
                 '0F0E0D0C-0b0a-0908-0706-050403020100', '{\"a\": 1.50, \"b\": [null]}', '{\"z\":1,\"a\":2}', \
                 '<a>1</a>', B'011', B'1', '{1,NULL,3}', '{\"a,b\",NULL,\"\"}', '{1.50,NaN}', '10.0.0.1/8', \
                 1234.5, 4294967295, '[1,5)'",
                "2, 0, -1, 0.1, 1e300, false, 0.00000000000000000001000, -0.0000000001, '', '', ' x ', \
                 '', '0001-01-01', '00:00:00.000001', '2024-02-29 12:34:56.123456', \
                 '2024-02-29 12:34:56.123456+02', '00:00:00Z', '-1 day', \
                 '00000000-0000-0000-0000-000000000000', 'null', '\"text\"', NULL, B'000', B'', '{}', '{}', \
                 '{}', '::1', -0.01, 0, 'empty'",
                "3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                 NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            ],
        ),
        "mariadb" => (
            "id bigint PRIMARY KEY, ti tinyint, tu tinyint unsigned, s smallint, m mediumint unsigned, \
             i integer, u integer unsigned, bu bigint unsigned, f float, d double, n decimal(30, 10), \
             b tinyint(1), v varchar(40), t text, c char(5), vb varbinary(9), bl blob, da date, \
             tm time(6), dt datetime(6), ts timestamp(6) NULL, y year, e enum('a', 'b c'), se set('x', 'y'), \
             j json, bi bit(9)",
            &[
                "1, -128, 255, -32768, 16777215, -2147483648, 4294967295, 18446744073709551615, 0.1, 1e300, \
                 12345678901234567890.0123456789, 1, 'a\"\\\\ü😀', 'x\ny', 'ab', x'00ff5c', x'', '2024-02-29', \
                 '23:59:59.999999', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56.123456', 2024, 'b c', \
                 'x,y', '{\"a\": 1.50, \"b\": [null]}', b'101010101'",
                "2, 0, 0, 0, 0, 0, 0, 0, -1e-30, -0.5, -0.0000000001, 0, '', '', '', x'', x'ff', '0001-01-01', \
                 '00:00:00', '1000-01-01 00:00:00', '1970-01-02 00:00:00', 1901, 'a', '', '\"text\"', b'0'",
                "3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                 NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            ],
        ),
        _ => (
            "id integer PRIMARY KEY, i integer, r real, t text, b blob, o boolean, d date, n numeric, x",
            &[
                "1, 9223372036854775807, 0.1, 'a\n\"ü😀', x'00ff5c', 1, '2024-02-29', '1.50', 'any'",
                "2, -9223372036854775808, 1e300, '', x'', 0, '', 7, ''",
                "3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            ],
        ),
    }
}

#[tokio::test]
async fn every_type_is_copied_cell_by_cell() {
    for database in Target::each("types").await {
        let kind = database.kind();
        let target = database.another("types_to").await;
        let (columns, rows) = table(kind);
        for side in [&database, &target] {
            side.execute(&format!("CREATE TABLE every ({columns})"))
                .await;
        }
        for row in rows {
            database
                .execute(&format!("INSERT INTO every VALUES ({row})"))
                .await;
        }
        let pipeline = Pipeline::new(&format!(
            "{}{}",
            source(&database, "tables = [\"every\"]"),
            sink("copy", &target, "table = \"every\"")
        ));
        let sinks = run(&pipeline).await;
        assert_eq!(sinks[0]["written"], rows.len(), "{kind}: {sinks:?}");
        // As the database itself writes each value.
        let query = match kind {
            "postgres" => "SELECT e::text FROM every AS e ORDER BY id",
            "mariadb" => {
                "SELECT CONCAT_WS('|', id, ti, tu, s, m, i, u, bu, f, d, n, b, v, t, c, HEX(vb), HEX(bl), da, \
                 tm, dt, ts, y, e, se, j, BIN(bi)) FROM every ORDER BY id"
            }
            _ => {
                "SELECT quote(id) || quote(i) || quote(r) || quote(t) || quote(b) || quote(o) || quote(d) || \
                 quote(n) || quote(x) FROM every ORDER BY id"
            }
        };
        let (found, expect) = (target.rows(query).await, database.rows(query).await);
        assert_eq!(found, expect, "{kind}");
    }
}
