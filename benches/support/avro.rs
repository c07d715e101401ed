//! The events of `events` in Avro, as Debezium's converter for a schema registry writes them, and a registry
//! that knows their schema.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Value, json};
use syncline_connectors::record::{Partition, Records};

/// The id of the schema.
pub const ID: u32 = 7;

/// The schema of an event; nullable columns, as of a table without `NOT NULL`.
pub fn schema() -> String {
    let nullable = |kind: Value| json!(["null", kind]);
    let named = |kind: &str, name: &str| json!({ "type": kind, "connect.version": 1, "connect.name": name });
    let column = |name: &str, kind: Value| json!({ "name": name, "type": nullable(kind) });
    let text = |name: &str| column(name, json!("string"));
    let micros = |name: &str| column(name, named("long", "io.debezium.time.MicroTimestamp"));
    let row = json!({
        "type": "record", "name": "Value", "connect.name": "crm.public.clients.Value",
        "fields": [
            { "name": "id", "type": "long" },
            text("first_name"), text("last_name"), text("email"), text("phone"),
            column("balance", json!({
                "type": "bytes", "scale": 2, "precision": 12, "connect.version": 1,
                "connect.parameters": { "scale": "2", "connect.decimal.precision": "12" },
                "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal",
            })),
            text("status"), text("notes"), micros("created_at"), micros("updated_at"),
        ],
    });
    let plain = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let source = json!({
        "type": "record", "name": "Source", "namespace": "io.debezium.connector.postgresql",
        "connect.name": "io.debezium.connector.postgresql.Source",
        "fields": [
            plain("version", "string"), plain("connector", "string"), plain("name", "string"),
            plain("ts_ms", "long"), text("snapshot"), plain("db", "string"), text("sequence"),
            column("ts_us", json!("long")), column("ts_ns", json!("long")), plain("schema", "string"),
            plain("table", "string"), column("txId", json!("long")), column("lsn", json!("long")),
            column("xmin", json!("long")),
        ],
    });
    json!({
        "type": "record", "name": "Envelope", "namespace": "crm.public.clients",
        "connect.version": 2, "connect.name": "crm.public.clients.Envelope",
        "fields": [
            column("before", row), column("after", json!("Value")),
            { "name": "source", "type": source }, plain("op", "string"),
            column("ts_ms", json!("long")), column("ts_us", json!("long")), column("ts_ns", json!("long")),
        ],
    })
    .to_string()
}

/// Records of `value`, an event as JSON, as Avro behind the bytes of the registry.
pub fn records_of(value: fn(u64) -> String, start: u64, count: u64) -> Arc<Records> {
    let mut records = Records::default();
    let partition = Partition {
        topic: "crm.public.clients".into(),
        number: 0,
    };
    let partition = records.add_partition(&partition, true);
    for id in start..start + count {
        let event: Value = serde_json::from_str(&value(id)).expect("an event is JSON");
        let mut out = [&[0][..], &ID.to_be_bytes()].concat();
        row(&event["before"], &mut out);
        row(&event["after"], &mut out);
        source(&event["source"], &mut out);
        string(&event["op"], &mut out);
        for name in ["ts_ms", "ts_us", "ts_ns"] {
            nullable(&event[name], &mut out, long_value);
        }
        records.push(partition, id as i64, Some(0), None, Some(&out), None);
    }
    Arc::new(records)
}

fn row(row: &Value, out: &mut Vec<u8>) {
    nullable(row, out, |row, out| {
        long_value(&row["id"], out);
        for name in ["first_name", "last_name", "email", "phone"] {
            nullable(&row[name], out, string);
        }
        nullable(&row["balance"], out, |text, out| {
            let digits = text.as_str().expect("a decimal is a text").replace('.', "");
            let number: i64 = digits.parse().expect("it is a number");
            let bytes = number.to_be_bytes();
            long(8, out);
            out.extend_from_slice(&bytes);
        });
        for name in ["status", "notes"] {
            nullable(&row[name], out, string);
        }
        for name in ["created_at", "updated_at"] {
            nullable(&row[name], out, long_value);
        }
    });
}

fn source(source: &Value, out: &mut Vec<u8>) {
    for name in ["version", "connector", "name"] {
        string(&source[name], out);
    }
    long_value(&source["ts_ms"], out);
    nullable(&source["snapshot"], out, string);
    string(&source["db"], out);
    nullable(&source["sequence"], out, string);
    for name in ["ts_us", "ts_ns"] {
        nullable(&source[name], out, long_value);
    }
    for name in ["schema", "table"] {
        string(&source[name], out);
    }
    for name in ["txId", "lsn", "xmin"] {
        nullable(&source[name], out, long_value);
    }
}

fn nullable(value: &Value, out: &mut Vec<u8>, write: impl Fn(&Value, &mut Vec<u8>)) {
    if value.is_null() {
        return long(0, out);
    }
    long(1, out);
    write(value, out);
}

fn string(value: &Value, out: &mut Vec<u8>) {
    let text = value.as_str().expect("it is a text");
    long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

fn long_value(value: &Value, out: &mut Vec<u8>) {
    long(value.as_i64().expect("it is a number"), out);
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A registry that answers every request with the schema; its address.
pub fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let body = json!({ "schema": schema() }).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let lines = BufReader::new(stream.try_clone().expect("a socket has copies")).lines();
            let _ = lines.map_while(Result::ok).find(String::is_empty);
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}")
}
