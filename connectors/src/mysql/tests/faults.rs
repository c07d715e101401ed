//! Lost replies, lost connections, locks, poison.

use arrow::array::{Int64Array, StringArray};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::change::Operation::{Create, Update};

const PLAIN: &str = "CREATE TABLE clients (id bigint PRIMARY KEY, name text, version bigint)";
const IDS: &str = "SELECT id FROM clients ORDER BY id";

#[tokio::test]
async fn a_killed_connection_is_unavailable_and_the_next_write_reconnects_r16() {
    let fixture = Fixture::new("killed", PLAIN).await;
    let mut writer = fixture.writer().await;
    writer
        .write(vec![changes(&[row(Create, 1, "a", 1)], true)])
        .await;
    let of_ours = "SELECT id FROM information_schema.PROCESSLIST WHERE db = 'syncline_killed' AND id <> CONNECTION_ID()";
    for id in fixture.found(of_ours).await {
        fixture.execute(&format!("KILL {id}")).await;
    }
    let batch = vec![changes(&[row(Create, 2, "b", 1)], true)];
    let error = writer.try_write(batch.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    writer.write(batch).await;
    assert_eq!(fixture.found(IDS).await, ["1", "2"]);
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
                // A command of just this word, with its length and number before it.
                if bytes == b"\x07\0\0\0\x03COMMIT" {
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
    let url = url::Url::parse(&fixture.config.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(3306));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut through = url.clone();
    through.set_host(Some("127.0.0.1")).unwrap();
    through
        .set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    through
        .query_pairs_mut()
        .append_pair("ssl-mode", "DISABLED");
    fixture.config.url = through.to_string();
    let proxy = tokio::spawn(swallow_commit_reply(listener, server));

    let mut writer = fixture.writer().await;
    let rows = [row(Create, 1, "a", 1), row(Update, 1, "b", 2)];
    let batch = vec![changes(&rows, true)];
    let error = writer.try_write(batch.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let all = "SELECT * FROM clients";
    assert_eq!(fixture.found(all).await, ["1|b|2"], "it was committed");
    fixture
        .execute("UPDATE clients SET name = 'not again'")
        .await;
    let outcome = writer.write(batch).await;
    assert_eq!((outcome.written, outcome.superseded), (1, 1));
    assert_eq!(fixture.found(all).await, ["1|not again|2"]);
    writer.sink.close().await.unwrap();
    assert!(proxy.await.unwrap());
}

#[tokio::test]
async fn a_lock_of_another_session_is_an_outage_r16() {
    let mut fixture = Fixture::new("locked", PLAIN).await;
    fixture.config.lock_timeout_ms = 1;
    fixture
        .execute("INSERT INTO clients VALUES (1, 'a', 1)")
        .await;
    let mut writer = fixture.writer().await;
    fixture
        .execute("START TRANSACTION; UPDATE clients SET name = 'b' WHERE id = 1")
        .await;
    let batch = vec![changes(&[row(Update, 1, "c", 2)], true)];
    let error = writer.try_write(batch.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    fixture.execute("COMMIT").await;
    writer.write(batch).await;
    assert_eq!(fixture.found("SELECT * FROM clients").await, ["1|c|2"]);
}

#[tokio::test]
async fn exactly_the_poison_is_refused_r16() {
    let fixture = Fixture::new(
        "poison",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name varchar(5) NOT NULL, version smallint CHECK (version < 1000))",
    )
    .await;
    let mut rows: Vec<_> = (0..1000)
        .map(|id| row(Create, id, "fine", id % 900))
        .collect();
    rows[17] = row(Create, 17, "too long", 1);
    rows[500].name = Some(None);
    rows[700] = row(Create, 700, "fine", 100_000);
    rows[999] = row(Create, 999, "fine", 5000);
    let mut writer = fixture.writer().await;
    let both = |rows: &[_]| vec![changes(&rows[..600], true), changes(&rows[600..], true)];
    // What is seen before anything is sent is said first.
    let rejected = writer.rejected(both(&rows)).await;
    assert_eq!(
        (rejected.len(), rejected[0].row, rejected[0].rule.as_str()),
        (1, 17, "1406 data_too_long")
    );
    rows[17].name = Some(Some("short".to_owned()));
    let rejected = writer.rejected(both(&rows)).await;
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
            (0, 500, "1048 column_cannot_be_null", Some("name")),
            (1, 100, "1264 out_of_range", Some("version")),
            (1, 399, "4025 check_constraint_violated", None),
        ]
    );
    assert!(fixture.found(IDS).await.is_empty(), "nothing is durable");
    for row in [999, 700, 500] {
        rows.remove(row);
    }
    let outcome = writer.write(vec![changes(&rows, true)]).await;
    assert_eq!(outcome.written, 997);
}

#[tokio::test]
async fn a_refused_value_is_in_no_message() {
    let fixture = Fixture::new(
        "secret",
        "CREATE TABLE clients (id bigint PRIMARY KEY, u uuid)",
    )
    .await;
    let canary: ArrayRef = Arc::new(StringArray::from(vec!["canary"]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = table("clients", vec![column("id", id), column("u", canary)], "c");
    let rejected = fixture.writer().await.rejected(vec![batch]).await;
    assert_eq!(rejected[0].rule, "1292 incorrect_value");
    assert_eq!(rejected[0].field.as_deref(), Some("u"));
    assert!(
        rejected[0].reason.contains("column 'u'"),
        "{}",
        rejected[0].reason
    );
    assert!(
        !rejected[0].reason.contains("canary"),
        "{}",
        rejected[0].reason
    );
}

#[tokio::test]
async fn large_batches_go_in_several_statements_and_a_row_past_the_limit_is_refused() {
    let fixture = Fixture::new(
        "large",
        "CREATE TABLE clients (id bigint PRIMARY KEY, name longtext, version bigint)",
    )
    .await;
    let wide = "x".repeat(3_000_000);
    let rows: Vec<_> = (0..4).map(|id| row(Create, id, &wide, 1)).collect();
    let mut writer = fixture.writer().await;
    writer.write(vec![changes(&rows, true)]).await;
    assert_eq!(
        fixture
            .found("SELECT DISTINCT LENGTH(name) FROM clients")
            .await,
        ["3000000"]
    );
    let limit: usize = fixture.found("SELECT @@max_allowed_packet").await[0]
        .parse()
        .unwrap();
    let rows = [
        row(Create, 5, "small", 1),
        row(Create, 6, &"x".repeat(limit), 1),
        row(Create, 7, "small", 1),
    ];
    let rejected = writer.rejected(vec![changes(&rows, true)]).await;
    assert_eq!(
        (rejected.len(), rejected[0].row, rejected[0].rule.as_str()),
        (1, 1, "1153 packet_too_large")
    );
}

#[tokio::test]
async fn a_wrong_password_or_database_says_what_to_correct() {
    let fixture = Fixture::new("wrong", "").await;
    let right = url::Url::parse(&fixture.config.url).unwrap();
    let error = async |change: &dyn Fn(&mut url::Url)| {
        let mut url = right.clone();
        change(&mut url);
        let config = MysqlSink::new(url);
        let error = super::super::check(&config).await.unwrap_err();
        assert!(!format!("{error:?}{}", error.chain()).contains("canary"));
        error
    };
    let missing = error(&|url| url.set_path("/no_such_database")).await;
    assert!(
        matches!(missing, Error::Configuration { .. }),
        "{missing:?}"
    );
    assert!(missing.chain().contains("create the database"), "{missing}");
    let refused = error(&|url| url.set_password(Some("canary")).unwrap()).await;
    assert!(
        matches!(refused, Error::Configuration { .. }),
        "{refused:?}"
    );
    assert!(
        refused.chain().contains("correct user and password"),
        "{refused}"
    );
    let nobody = error(&|url| {
        url.set_password(Some("canary")).unwrap();
        url.set_port(Some(1)).unwrap();
    });
    assert!(matches!(nobody.await, Error::Unavailable { .. }));
}
