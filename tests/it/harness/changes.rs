//! Generates changes from a seed, as Debezium writes them, with the table that they result in.
//!
//! The same seed gives the same changes. A key is inserted, updated several times, deleted with a
//! tombstone, and sometimes inserted again. Every change contains the full row before, and its
//! version is higher than that of the change before.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::json;

use super::Message;
use super::postgres::TextRow;

/// Records to produce, in order, and the table after all of them.
pub(crate) struct Workload {
    pub(crate) messages: Vec<Message>,
    pub(crate) model: BTreeMap<i64, Client>,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    id: i64,
    first_name: &'static str,
    last_name: &'static str,
    email: String,
    balance_cents: i64,
    notes: Option<String>,
    updated_at_us: i64,
}

impl Workload {
    /// The table for the rows.
    pub(crate) const TABLE: &str =
        "CREATE TABLE clients (id bigint PRIMARY KEY, first_name text, last_name text,
        email text, balance numeric(12, 2), notes text, updated_at timestamptz)";

    /// The columns of that table as a declared schema, for records without a schema.
    pub(crate) const SCHEMA: &str = r#"
id         = "int64"
first_name = "string"
last_name  = "string"
email      = "string"
balance    = "decimal(12, 2)"
notes      = "string"
updated_at = "timestamptz"
"#;

    /// Generates `changes` changes of `keys` keys, plus tombstones. With `schemas`, each record
    /// contains its schema, and decimals have Debezium's default encoding; otherwise decimals are
    /// text.
    pub(crate) fn generate(seed: u64, changes: usize, keys: u64, schemas: bool) -> Self {
        let envelope = Envelope::new(schemas);
        let mut random = Random(seed);
        let mut model: BTreeMap<i64, Client> = BTreeMap::new();
        let mut messages = Vec::with_capacity(changes + changes / 5);
        let mut now_us = 1_767_225_600_000_000;
        for _ in 0..changes {
            now_us += 1 + random.below(2_000_000) as i64;
            let id = 1 + random.below(keys) as i64;
            let key = Some(envelope.key(id));
            let before = model.remove(&id);
            if before.is_some() && random.below(6) == 0 {
                let value = Some(envelope.value("d", before.as_ref(), None, now_us));
                messages.push(Message {
                    key: key.clone(),
                    value,
                });
                messages.push(Message { key, value: None });
                continue;
            }
            let after = Client::random(&mut random, id, now_us);
            let operation = if before.is_some() { "u" } else { "c" };
            let value = envelope.value(operation, before.as_ref(), Some(&after), now_us);
            messages.push(Message {
                key,
                value: Some(value),
            });
            model.insert(id, after);
        }
        Self { messages, model }
    }

    /// The expected rows of [`Workload::TABLE`], ordered by key.
    pub(crate) fn expected(&self) -> Vec<TextRow> {
        self.model.values().map(Client::row).collect()
    }

    /// A query of [`Workload::TABLE`] that returns [`Workload::expected`].
    pub(crate) const QUERY: &str = r#"SELECT id, first_name, last_name, email, balance, notes,
        to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM clients ORDER BY id"#;

    /// The same rows as `pipelines/kafka-to-postgres.toml` maps them: id, name, email, balance,
    /// updated_at.
    pub(crate) fn expected_mapped(&self) -> Vec<TextRow> {
        let map = |client: &Client| {
            let name = format!("{} {}", client.first_name, client.last_name);
            let row = client.row();
            vec![
                row[0].clone(),
                Some(name),
                row[3].clone(),
                row[4].clone(),
                row[6].clone(),
            ]
        };
        self.model.values().map(map).collect()
    }
}

impl Client {
    fn random(random: &mut Random, id: i64, updated_at_us: i64) -> Self {
        const FIRST: [&str; 5] = ["Ada", "Chloé", "Jürgen", "Søren", "雪"];
        const LAST: [&str; 5] = ["O'Brien", "Müller", "Nguyễn", "Okafor", "\"Quote\\"];
        let first_name = FIRST[random.below(5) as usize];
        let last_name = LAST[random.below(5) as usize];
        let number = random.below(1_000_000);
        Self {
            id,
            first_name,
            last_name,
            email: format!("client{number}@example.org"),
            balance_cents: random.below(99_999_999) as i64,
            notes: (random.below(3) == 0).then(|| format!("line {number}\n\tand “more”")),
            updated_at_us,
        }
    }

    fn row(&self) -> TextRow {
        vec![
            Some(self.id.to_string()),
            Some(self.first_name.to_owned()),
            Some(self.last_name.to_owned()),
            Some(self.email.clone()),
            Some(self.balance()),
            self.notes.clone(),
            Some(self.updated_at()),
        ]
    }

    fn json(&self, decimals_as_text: bool) -> String {
        let balance = if decimals_as_text {
            self.balance()
        } else {
            base64(minimal(&self.balance_cents.to_be_bytes()))
        };
        json!({
            "id": self.id, "first_name": self.first_name, "last_name": self.last_name, "email": self.email,
            "balance": balance, "notes": self.notes, "updated_at": self.updated_at(),
        })
        .to_string()
    }

    fn balance(&self) -> String {
        format!(
            "{}.{:02}",
            self.balance_cents / 100,
            self.balance_cents % 100
        )
    }

    fn updated_at(&self) -> String {
        DateTime::from_timestamp_micros(self.updated_at_us)
            .expect("the time is in this century")
            .format("%Y-%m-%dT%H:%M:%S%.6fZ")
            .to_string()
    }
}

/// Debezium's envelope for rows.
struct Envelope {
    key_schema: Option<String>,
    value_schema: Option<String>,
}

impl Envelope {
    fn new(schemas: bool) -> Self {
        let field =
            |name: &str, kind: &str| json!({ "field": name, "type": kind, "optional": true });
        let id = json!({ "field": "id", "type": "int64", "optional": false });
        let named = |name: &str, kind: &str, logical: &str, parameters: serde_json::Value| json!({ "field": name, "type": kind, "optional": true, "name": logical, "version": 1, "parameters": parameters });
        let columns = json!([
            id,
            field("first_name", "string"),
            field("last_name", "string"),
            field("email", "string"),
            named(
                "balance",
                "bytes",
                "org.apache.kafka.connect.data.Decimal",
                json!({ "scale": "2", "connect.decimal.precision": "12" })
            ),
            field("notes", "string"),
            named(
                "updated_at",
                "string",
                "io.debezium.time.ZonedTimestamp",
                json!({})
            ),
        ]);
        let row = |name: &str| json!({ "field": name, "type": "struct", "optional": true, "name": "crm.public.clients.Value", "fields": columns });
        let source = json!({ "field": "source", "type": "struct", "optional": false,
            "name": "io.debezium.connector.postgresql.Source",
            "fields": [field("ts_ms", "int64"), field("db", "string"), field("schema", "string"), field("table", "string"), field("lsn", "int64")] });
        let value = json!({ "type": "struct", "optional": false, "name": "crm.public.clients.Envelope", "version": 2,
            "fields": [row("before"), row("after"), source, field("op", "string"), field("ts_ms", "int64")] });
        let key = json!({ "type": "struct", "optional": false, "name": "crm.public.clients.Key", "fields": [id] });
        Self {
            key_schema: schemas.then(|| key.to_string()),
            value_schema: schemas.then(|| value.to_string()),
        }
    }

    fn key(&self, id: i64) -> String {
        wrap(&self.key_schema, &json!({ "id": id }).to_string())
    }

    fn value(
        &self,
        operation: &str,
        before: Option<&Client>,
        after: Option<&Client>,
        now_us: i64,
    ) -> String {
        let image = |client: Option<&Client>| {
            client.map_or_else(
                || "null".to_owned(),
                |client| client.json(self.value_schema.is_none()),
            )
        };
        let now_ms = now_us / 1000;
        let payload = format!(
            r#"{{"before":{},"after":{},"source":{{"ts_ms":{now_ms},"db":"crm","schema":"public","table":"clients","lsn":{now_us}}},"op":"{operation}","ts_ms":{now_ms}}}"#,
            image(before),
            image(after),
        );
        wrap(&self.value_schema, &payload)
    }
}

fn wrap(schema: &Option<String>, payload: &str) -> String {
    match schema {
        Some(schema) => format!(r#"{{"schema":{schema},"payload":{payload}}}"#),
        None => payload.to_owned(),
    }
}

/// The shortest big-endian two's-complement form, without bytes that repeat the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let repeats = |pair: &[u8]| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]);
    let skip = bytes.windows(2).take_while(|pair| repeats(pair)).count();
    &bytes[skip..]
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] as char;
            let letter = if place > chunk.len() { '=' } else { letter };
            text.push(letter);
        }
    }
    text
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[test]
fn decimals_are_as_debezium_writes_them() {
    let check =
        |cents: i64, expect: &str| assert_eq!(base64(minimal(&cents.to_be_bytes())), expect);
    // Recorded from numeric(12,2): 1234.50, 0.01, 9999999999.99, -9999999999.99.
    check(123_450, "AeI6");
    check(1, "AQ==");
    check(999_999_999_999, "AOjUpQ//");
    check(-999_999_999_999, "/xcrWvAB");
    check(0, "AA==");
}
