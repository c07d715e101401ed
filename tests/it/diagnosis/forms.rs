//! Forms that cannot be read are named at the start; one odd record is bad data.

use serde_json::{Value, json};

use super::{FILE_SOURCE, Target, events, expect_stopped, kept, write_input};
use crate::harness::{DEADLINE, Pipeline, RawMessage, kafka};

/// Messages that are all of one form, with a part of its name; the first three make a file where
/// `as_file` says nothing else.
struct Sample {
    name: &'static str,
    messages: Vec<Vec<u8>>,
    as_file: Option<Vec<u8>>,
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name, messages: &[&[u8]], as_file: Option<&[u8]>| {
        samples.push(Sample {
            name,
            messages: messages.iter().map(|bytes| bytes.to_vec()).collect(),
            as_file: as_file.map(<[u8]>::to_vec),
        });
    };
    // The same three lines, by gzip, with a line end in what is compressed.
    let gzip =
        b"\x1f\x8b\x08\x08\0\0\0\0\0\x03\x0a\xab\x56\xca\x4c\x51\xb2\x32\xac\xe5\x02\0\xff\xee";
    add("gzip", &[gzip, gzip, gzip], Some(gzip));
    let zstd = b"\x28\xb5\x2f\xfd\x04\x88\x41\0\0{\"id\":1}\n\x9d\xe4\x01\x02";
    add("zstd", &[zstd, zstd, zstd], Some(zstd));
    let array = br#"[{"id":1},{"id":2}]"#;
    add(
        "array",
        &[array, array, array],
        Some(b"[\n{\"id\":1},\n{\"id\":2}\n]\n"),
    );
    add("array", &[array], Some(array));
    let pretty = b"{\n  \"id\": 1,\n  \"name\": \"a\"\n}\n{\n  \"id\": 2,\n  \"name\": \"b\"\n}\n";
    add("several lines", &[], Some(pretty));
    add(
        "CSV",
        &[b"1,a,x", b"2,b,y", b"3,c,z"],
        Some(b"id,name,note\n1,a,x\n2,b,y\n"),
    );
    let registry = b"\0\0\0\0\x2a\x02\x06abc\x04\x10";
    add("schema registry", &[registry, registry, registry], None);
    let registry = b"\0\0\0\0\x2a{\"id\":1}";
    add("schema registry", &[registry, registry, registry], None);
    add(
        "Avro container",
        &[],
        Some(b"Obj\x01\x04\x14avro.codec\x08null\0\xff\xfe\x0a\x01\x02"),
    );
    add(
        "Parquet",
        &[],
        Some(b"PAR1\x15\x04\x15\xff\x0a\x15\x80PAR1"),
    );
    let protobuf = b"\x08\x96\x01\x12\x04\xf0\x9f\x98\x80\x1d\0\0\x80\x3f";
    add("Protobuf", &[protobuf, protobuf, protobuf], None);
    let utf_16: Vec<u8> = "\u{feff}{\"id\":1}\n{\"id\":2}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    add("UTF-16", &[&utf_16, &utf_16, &utf_16], Some(&utf_16));
    let mut json = |name, text: &str| {
        let bytes = text.as_bytes();
        add(name, &[bytes, bytes, bytes], None);
    };
    json(
        "MongoDB",
        r#"{"before":null,"after":"{\"_id\": {\"$oid\": \"6\"}, \"id\": 1}","op":"c"}"#,
    );
    json("MongoDB", r#"{"_id":{"$oid":"6"},"id":1}"#);
    json(
        "CloudEvents",
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":1}}"#,
    );
    json(
        "Maxwell",
        r#"{"database":"d","table":"t","type":"insert","ts":1,"data":{"id":1}}"#,
    );
    json(
        "Canal",
        r#"{"data":[{"id":"1"}],"database":"d","id":1,"isDdl":false,"table":"t","type":"INSERT","ts":1}"#,
    );
    json(
        "Avro written as JSON",
        r#"{"before":null,"after":{"a.b.Value":{"id":1,"name":{"string":"a"}}},"op":"c"}"#,
    );
    json("JSON string", r#""{\"id\":1}""#);
    samples
}

/// Each form stops the run before anything is written, and is read again once it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_read_is_named_at_the_start_of_a_file() {
    let pipeline = Pipeline::new(&format!(
        "{FILE_SOURCE}{}inputs = [\"crm\"]\n",
        Target::Sqlite.sink()
    ));
    let target = Target::Sqlite;
    target
        .execute(
            &pipeline,
            "CREATE TABLE items (id integer PRIMARY KEY, name text)",
        )
        .await;
    for sample in samples() {
        let bytes = sample.as_file.unwrap_or_else(|| {
            let lines = sample.messages.iter();
            lines
                .flat_map(|line| [line.as_slice(), b"\n"].concat())
                .collect()
        });
        write_input(&pipeline, bytes);
        let finished = pipeline.run_once(DEADLINE).await;
        expect_stopped(&finished, &[sample.name, "in.jsonl", "nothing was written"]);
        assert_eq!(
            kept(&pipeline).await,
            Vec::<Value>::new(),
            "{}",
            sample.name
        );
        assert_eq!(
            target.ids(&pipeline).await,
            Vec::<i64>::new(),
            "{}",
            sample.name
        );
    }
    write_input(&pipeline, events(1..4, |_| vec![("name", json!("a"))]));
    pipeline.run_once(DEADLINE).await.expect_success();
    assert_eq!(target.ids(&pipeline).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_read_is_named_at_the_start_of_a_topic() {
    let kafka = kafka();
    let target = Target::Sqlite;
    for sample in samples()
        .into_iter()
        .filter(|sample| !sample.messages.is_empty())
    {
        let topic = kafka.topic("form", 1).await;
        let raw = |value: &Vec<u8>| RawMessage {
            partition: 0,
            key: None,
            value: Some(value.clone()),
        };
        let messages: Vec<RawMessage> = sample.messages.iter().map(raw).collect();
        kafka.produce_raw(&topic, &messages);
        let pipeline = Pipeline::new(&kafka_text(&topic, kafka.brokers(), &target));
        target
            .execute(
                &pipeline,
                "CREATE TABLE items (id integer PRIMARY KEY, name text)",
            )
            .await;
        let finished = pipeline.run_once(DEADLINE).await;
        expect_stopped(&finished, &[sample.name, &topic, "nothing was written"]);
        assert_eq!(
            kept(&pipeline).await,
            Vec::<Value>::new(),
            "{}",
            sample.name
        );
        assert_eq!(
            target.ids(&pipeline).await,
            Vec::<i64>::new(),
            "{}",
            sample.name
        );
        let committed = kafka.committed(&topic, &topic);
        assert!(
            committed.values().all(|&offset| offset <= 0),
            "{committed:?}"
        );
    }
}

fn kafka_text(topic: &str, brokers: &str, target: &Target) -> String {
    format!(
        "[sources.crm]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n\
         format = \"debezium-json\"\nkey = [\"id\"]\n{}inputs = [\"crm\"]\n",
        target.sink()
    )
}

/// One odd record among good ones is bad data, also where it comes first.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_record_among_good_ones_is_bad_data() {
    let target = Target::Sqlite;
    let odd: [&[u8]; 5] = [
        b"\x1f\x8b\x08\0",
        b"[{\"id\":1}]",
        b"\0\0\0\0\x2a{\"id\":1}",
        b"id,name",
        b"{\"id\":",
    ];
    for bytes in odd {
        let text = format!("{FILE_SOURCE}{}inputs = [\"crm\"]\n", target.sink());
        let pipeline = Pipeline::new(&text);
        target
            .execute(
                &pipeline,
                "CREATE TABLE items (id integer PRIMARY KEY, name text)",
            )
            .await;
        let good = events(1..3, |_| vec![("name", json!("a"))]);
        write_input(&pipeline, [bytes, b"\n", good.as_bytes()].concat());
        let finished = pipeline.run_once(DEADLINE).await;
        finished.expect_success();
        assert_eq!(target.ids(&pipeline).await, [1, 2]);
        assert_eq!(kept(&pipeline).await.len(), 1);
        assert!(
            finished.stderr.contains("changes are in quarantine"),
            "{}",
            finished.stderr
        );
    }
}
