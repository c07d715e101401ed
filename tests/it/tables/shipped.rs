//! The shipped pipelines from one database to another.

use crate::harness::{DEADLINE, Pipeline, Target};

#[tokio::test]
async fn the_shipped_pipelines_copy_every_row() {
    for database in Target::each("shipped").await {
        let target = Target::Postgres(crate::harness::postgres("shipped_to").await);
        database
            .execute(
                "CREATE TABLE clients (id bigint NOT NULL PRIMARY KEY, name varchar(100), \
                 updated_at timestamp NOT NULL)",
            )
            .await;
        database
            .execute(
                "INSERT INTO clients VALUES (1, 'Anna', '2024-02-29 12:00:00'), (2, NULL, '2024-02-29 12:00:00')",
            )
            .await;
        let (file, variable, place) = match &database {
            Target::Postgres(from) => (
                "postgres-to-postgres.toml",
                "SHOP_URL",
                from.url().to_owned(),
            ),
            Target::Mariadb(from) => (
                "mysql-to-postgres.toml",
                "SHOP_MYSQL_URL",
                from.url().to_owned(),
            ),
            Target::Sqlite(folder) => {
                let path = folder.path().join("target.db");
                (
                    "sqlite-to-postgres.toml",
                    "SHOP_FILE",
                    path.display().to_string(),
                )
            }
        };
        let mut pipeline = Pipeline::shipped(file);
        let Target::Postgres(to) = &target else {
            panic!("it was made above");
        };
        pipeline.set(variable, &place).set("REPLICA_URL", to.url());
        pipeline.run_once(DEADLINE).await.expect_success();
        let copied = "SELECT id, name, updated_at::timestamp FROM clients ORDER BY id";
        let ids = target.rows(copied).await;
        assert_eq!(ids.len(), 2, "{file}: {ids:?}");
        assert_eq!(ids[0][1].as_deref(), Some("Anna"), "{file}");
        database
            .execute(
                "UPDATE clients SET name = 'Mia', updated_at = '2024-03-01 00:00:00' WHERE id = 2",
            )
            .await;
        pipeline.run_once(DEADLINE).await.expect_success();
        let changed = target.rows(copied).await;
        assert_eq!(changed[1][1].as_deref(), Some("Mia"), "{file}");
    }
}
