//! Tests the harness with the real services, without `syncline`: each fault that it offers really
//! happens.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{
    Broker, DEADLINE, DatabaseServer, Message, Proxy, Workload, eventually, kafka, postgres,
};

fn message(key: &str, value: Option<&str>) -> Message {
    Message {
        key: Some(key.to_owned()),
        value: value.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_takes_and_gives_records() {
    let kafka = kafka();
    let topic = kafka.topic("roundtrip", 2).await;
    let messages = [
        message("a", Some("1")),
        message("a", Some("2")),
        message("a", None),
    ];
    kafka.produce(&topic, &messages);
    assert_eq!(kafka.read(&topic), messages);
    assert!(kafka.committed("nobody", &topic).is_empty());

    let partition = kafka
        .offsets(&topic)
        .iter()
        .position(|&(_, next)| next == 3);
    let partition = partition.expect("one key goes to one partition") as i32;
    kafka.delete_records(&topic, partition, 2).await;
    assert_eq!(kafka.offsets(&topic)[partition as usize], (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_gives_rows_as_text() {
    let database = postgres("text").await;
    database
        .execute("CREATE TABLE t (a numeric(12, 2), b timestamptz, c text); INSERT INTO t VALUES (1.50, 'infinity', NULL)")
        .await;
    let expected = vec![vec![
        Some("1.50".to_owned()),
        Some("infinity".to_owned()),
        None,
    ]];
    assert_eq!(database.rows("SELECT * FROM t").await, expected);
    let positions = database.positions_sum().await;
    assert_eq!(positions.expect("no table is no error"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_the_same_each_time_and_holds_every_operation() {
    let make = || Workload::generate(7, 2_000, 100, true);
    let (one, two) = (make(), make());
    assert_eq!(one.messages, two.messages);
    assert_eq!(one.expected(), two.expected());
    assert_eq!(one.expected_mapped().len(), one.expected().len());
    let mut seen = HashSet::new();
    for message in &one.messages {
        let value = message.value.as_deref().unwrap_or("null");
        let value: serde_json::Value = serde_json::from_str(value).expect("valid JSON");
        seen.insert(
            value["payload"]["op"]
                .as_str()
                .unwrap_or("tombstone")
                .to_owned(),
        );
    }
    let all = ["c", "u", "d", "tombstone"].map(str::to_owned);
    assert_eq!(seen, HashSet::from(all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_comes_back_with_its_data() {
    let mut broker = Broker::start().await;
    let kafka = broker.kafka();
    let topic = kafka.topic("restart", 1).await;
    kafka.produce(&topic, &[message("a", Some("1"))]);
    broker.process().pause();
    broker.process().resume();
    assert!(broker.process().kill());
    broker.restart().await;
    assert_eq!(kafka.read(&topic), [message("a", Some("1"))]);
    assert!(
        broker.proxy().accepted() > 0,
        "clients come by way of the proxy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_crashes_and_comes_back_with_its_data() {
    let mut server = DatabaseServer::start().await;
    let database = server.database("crash").await;
    database
        .execute("CREATE TABLE t (a integer); INSERT INTO t VALUES (1)")
        .await;
    server.crash().await;
    assert!(database.try_rows("SELECT a FROM t").await.is_err());
    server.restart().await;
    let read = async || database.number("SELECT a FROM t").await;
    assert_eq!(
        eventually("the row", Duration::from_secs(10), read).await,
        1
    );

    let proxy = Proxy::start(server.port()).await;
    proxy.drop_reply_to(b"INSERT INTO t");
    let connect = sqlx::PgConnection::connect(&database.url_through(proxy.port()));
    let mut connection = connect.await.expect("the proxy lets it through");
    use sqlx::{Connection, Executor};
    let insert = connection.execute(sqlx::raw_sql("INSERT INTO t VALUES (2)"));
    assert!(insert.await.is_err(), "the reply is lost");
    assert_eq!(proxy.dropped_replies(), 1);
    let read = async || match database.number("SELECT count(*) FROM t").await {
        Ok(2) => Ok(()),
        other => Err(other),
    };
    eventually("the effect of the insert", Duration::from_secs(10), read).await;
}

/// A server that returns what it gets, and a client that reaches it through a proxy.
async fn echo() -> (Proxy, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("a bound listener").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let proxy = Proxy::start(port).await;
    let client = connect(&proxy).await;
    (proxy, client)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).await;
    stream.expect("the proxy listens")
}

/// Sends `text` and waits for the same number of bytes.
async fn ask(client: &mut TcpStream, text: &str) -> std::io::Result<String> {
    client.write_all(text.as_bytes()).await?;
    let mut reply = vec![0; text.len()];
    client.read_exact(&mut reply).await?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_ends_connections_and_refuses_new_ones_until_healed() {
    let (proxy, mut client) = echo().await;
    assert_eq!(ask(&mut client, "hello").await.expect("it passes"), "hello");
    proxy.cut();
    assert_eq!(client.read(&mut [0; 1]).await.expect("an end in order"), 0);
    assert!(ask(&mut connect(&proxy).await, "hello").await.is_err());
    eventually("both are counted", DEADLINE, async || {
        match proxy.broken() {
            2 => Ok(()),
            broken => Err(broken),
        }
    })
    .await;
    proxy.heal();
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, "hello").await.expect("it passes"), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset() {
    let (proxy, mut client) = echo().await;
    ask(&mut client, "hello").await.expect("it passes");
    proxy.reset();
    let error = client.read(&mut [0; 1]).await.expect_err("no end in order");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(ask(&mut connect(&proxy).await, "hello").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_holds_bytes_back_and_latency_delays_them() {
    let (proxy, mut client) = echo().await;
    proxy.half_open();
    let silence = Duration::from_millis(200);
    let waited = tokio::time::timeout(silence, ask(&mut client, "hello")).await;
    assert!(waited.is_err(), "nothing comes through");
    proxy.heal();
    let mut reply = [0; 5];
    client
        .read_exact(&mut reply)
        .await
        .expect("what was held comes");
    assert_eq!(&reply, b"hello");

    proxy.delay(Duration::from_millis(50));
    let start = Instant::now();
    ask(&mut client, "hello").await.expect("it passes");
    assert!(start.elapsed() >= Duration::from_millis(100), "both ways");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_lost_once() {
    let (proxy, mut client) = echo().await;
    proxy.drop_reply_after(7);
    ask(&mut client, "hello").await.expect("five bytes pass");
    assert!(
        ask(&mut client, "hello").await.is_err(),
        "two of five bytes pass"
    );
    assert_eq!(proxy.dropped_replies(), 1);
    let mut client = connect(&proxy).await;
    proxy.drop_reply_to(b"COMMIT");
    ask(&mut client, "BEGIN").await.expect("it passes");
    assert!(ask(&mut client, "COMMIT").await.is_err());
    assert_eq!(proxy.dropped_replies(), 2);
    assert!(ask(&mut connect(&proxy).await, "COMMIT").await.is_ok());
}
