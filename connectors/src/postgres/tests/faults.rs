//! Fencing, lost replies, lost connections, poison.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::change::Logical;

#[tokio::test]
async fn a_second_owner_is_fenced_r4() {
    let mut fixture = Fixture::new("fence", PLAIN).await;
    let (mut first, mut zombie) = (fixture.writer().await, fixture.writer().await);
    first.write(vec![batch(&[full('c', 1, "first", 1)])]).await;
    let error = zombie
        .try_write(vec![batch(&[full('c', 1, "zombie", 1)])])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Fenced {
                expected: 0,
                found: Some(1),
                ..
            }
        ),
        "{error:?}"
    );
    first.write(vec![batch(&[full('u', 1, "second", 1)])]).await;
    zombie.position = Some(1);
    let error = zombie
        .try_write(vec![batch(&[full('c', 1, "zombie", 1)])])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Fenced {
                expected: 1,
                found: Some(2),
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(fixture.rows("SELECT name FROM t").await, ["(second)"]);
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_and_the_next_write_reconnects_r16() {
    let mut fixture = Fixture::new("lost", PLAIN).await;
    fixture.config.options.table = "t".to_owned();
    let mut writer = fixture.writer().await;
    writer.write(vec![batch(&[full('c', 1, "a", 1)])]).await;
    fixture
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'syncline/syncline_lost'")
        .await;
    let changes = vec![batch(&[full('c', 2, "b", 1)])];
    let error = writer.try_write(changes.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    writer.write(changes).await;
    assert_eq!(
        fixture.rows("SELECT id FROM t ORDER BY id").await,
        ["(1)", "(2)"]
    );
}

/// Passes everything on until the client sends `COMMIT`: that reaches the server, its reply never
/// reaches the client. Only the first connection is treated so.
async fn swallow_commit_reply(listener: TcpListener, server: String) -> bool {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut upstream = TcpStream::connect(&server).await.unwrap();
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let count = count.unwrap();
                let bytes = &from_client[..count];
                upstream.write_all(bytes).await.unwrap();
                // A simple query of just this word, with its length before it.
                if bytes.windows(8).any(|window| window == b"\x0bCOMMIT\0") {
                    let reply = upstream.read(&mut from_server).await.unwrap();
                    assert!(reply > 0, "the server answers the commit");
                    break;
                }
                if count == 0 { return false; }
            }
            count = upstream.read(&mut from_server) => {
                let count = count.unwrap();
                client.write_all(&from_server[..count]).await.unwrap();
            }
        }
    }
    drop(client);
    let (mut client, _) = listener.accept().await.unwrap();
    let mut upstream = TcpStream::connect(&server).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    true
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_done_once_and_answered() {
    let mut fixture = Fixture::new("in_doubt", PLAIN).await;
    // The first COMMIT that is seen is to be that of the write, not of Syncline's own tables.
    fixture.writer().await.sink.close().await.unwrap();
    let url = url::Url::parse(&fixture.config.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut through = url.clone();
    through.set_host(Some("127.0.0.1")).unwrap();
    through
        .set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    through.query_pairs_mut().append_pair("sslmode", "disable");
    fixture.config.url = through.to_string();
    let proxy = tokio::spawn(swallow_commit_reply(listener, server));

    let mut writer = fixture.writer().await;
    let changes = vec![batch(&[full('c', 1, "a", 1), full('c', 1, "b", 2)])];
    let error = writer.try_write(changes.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(
        fixture.rows("SELECT name, v FROM t").await,
        ["(b,2)"],
        "it was committed"
    );
    fixture.execute("UPDATE t SET name = 'not again'").await;
    let outcome = writer.write(changes).await;
    assert_eq!((outcome.written, outcome.superseded), (1, 1));
    assert_eq!(
        fixture.rows("SELECT name FROM t").await,
        ["(\"not again\")"]
    );
    writer.sink.close().await.unwrap();
    assert!(proxy.await.unwrap());
}

#[tokio::test]
async fn exactly_the_poison_is_refused_r16() {
    let mut fixture = Fixture::new(
        "poison",
        "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(5) NOT NULL, v bigint CHECK (v < 1000))",
    )
    .await;
    let mut rows: Vec<Change> = (0..1000)
        .map(|id| full('c', id, "fine", id % 900))
        .collect();
    rows[17] = full('c', 17, "too long", 1);
    rows[500].name = Some(None);
    rows[999] = full('c', 999, "fine", 5000);
    let mut writer = fixture.writer().await;
    let rejected = writer
        .rejected(vec![batch(&rows[..600]), batch(&rows[600..])])
        .await;
    let found: Vec<(usize, usize, &str, Option<&str>)> = rejected
        .iter()
        .map(|change| {
            (
                change.batch,
                change.row,
                change.rule.as_str(),
                change.field.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (0, 17, "22001 string_data_right_truncation", None),
            (0, 500, "23502 not_null_violation", Some("name")),
            (1, 399, "23514 check_violation", None),
        ]
    );
    assert!(
        fixture.rows("SELECT * FROM t").await.is_empty(),
        "nothing is durable"
    );
    for row in [999, 500, 17] {
        rows.remove(row);
    }
    let outcome = writer.write(vec![batch(&rows)]).await;
    assert_eq!(outcome.written, 997);
}

#[tokio::test]
async fn a_row_that_waits_for_a_later_one_is_no_poison() {
    let mut fixture = Fixture::new(
        "order",
        "CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, v bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let mut rows = [
        full('c', 1, "child", 4),
        full('c', 2, "bad", 99),
        full('c', 3, "x", None),
        full('c', 4, "parent", None),
    ];
    // Nothing waits for a row that a foreign key needs.
    fixture.config.options.waiting.timeout = "0s".to_owned();
    let mut writer = fixture.writer().await;
    let rejected = writer.rejected(vec![batch(&rows)]).await;
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        (rejected[0].row, rejected[0].rule.as_str()),
        (1, "23503 foreign_key_violation")
    );
    rows[1] = full('c', 2, "good", 4);
    writer.write(vec![batch(&rows)]).await;
    assert_eq!(fixture.rows("SELECT id FROM t").await.len(), 4);
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_refused_up_front() {
    let fixture = Fixture::new("nul", PLAIN).await;
    let rows = [
        full('c', 1, "a", 1),
        full('c', 2, "nul \0", 1),
        full('c', 3, "c", 1),
    ];
    let mut writer = fixture.writer().await;
    let rejected = writer.rejected(vec![batch(&rows)]).await;
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        (rejected[0].row, rejected[0].field.as_deref()),
        (1, Some("name"))
    );
}

#[tokio::test]
async fn a_refused_value_is_in_no_message() {
    let fixture = Fixture::new("secret", "CREATE TABLE t (id bigint PRIMARY KEY, u uuid)").await;
    let canary: ArrayRef = Arc::new(StringArray::from(vec!["canary"]));
    let changes = table(
        "t",
        vec![
            (
                Field::new("id", DataType::Int64, true),
                Arc::new(Int64Array::from(vec![1])),
            ),
            (Logical::Uuid.field("u"), canary),
        ],
        "c",
    );
    let rejected = fixture.writer().await.rejected(vec![changes]).await;
    assert_eq!(rejected[0].rule, "22P02 invalid_text_representation");
    assert!(
        !rejected[0].reason.contains("canary"),
        "{}",
        rejected[0].reason
    );
}

#[tokio::test]
async fn a_wrong_password_or_database_says_what_to_correct() {
    let fixture = Fixture::new("wrong", "").await;
    let mut url = url::Url::parse(&fixture.config.url).unwrap();
    let right = url.clone();
    url.set_path("/no_such_database");
    let config = PostgresSink::new(url.to_string());
    let error = connect(&config, &fixture.identity, &statements_only())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    assert!(
        error.chain().contains("create the database"),
        "{}",
        error.chain()
    );
    // A server may also ask for no password; whatever it says, it does not say the password.
    url = right;
    url.set_username("nobody_of_this_name").unwrap();
    url.set_password(Some("canary")).unwrap();
    for port in [url.port(), Some(1)] {
        url.set_port(port).unwrap();
        let config = PostgresSink::new(url.to_string());
        let error = connect(&config, &fixture.identity, &statements_only())
            .await
            .err()
            .unwrap();
        assert!(!format!("{error:?}{}", error.chain()).contains("canary"));
        let unavailable = matches!(error, Error::Unavailable { .. });
        assert_eq!(unavailable, port == Some(1), "{error:?}");
    }
}
