//! A registry of a few lines on a port of this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;

/// Answers each path by the JSON of the list, anything else by 404; gives its address.
fn serve(answers: &'static [(&'static str, u16, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            // The headers end with an empty line.
            for line in lines {
                if line.map_or(true, |line| line.is_empty()) {
                    break;
                }
            }
            let found = answers.iter().find(|(known, _, _)| *known == path);
            let (status, body) = found
                .map_or((404, "{\"error_code\":40403}"), |(_, status, body)| {
                    (*status, *body)
                });
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}")
}

fn settings(url: &str) -> SchemaRegistry {
    serde_json::from_value(serde_json::json!({ "url": url })).unwrap()
}

#[tokio::test]
async fn a_schema_comes_with_what_it_refers_to() {
    let url = serve(&[
        (
            "/base/schemas/ids/7",
            200,
            r#"{"schema":"A","references":[{"name":"b","subject":"s b","version":2},{"name":"c","subject":"c","version":1}]}"#,
        ),
        (
            "/base/subjects/s%20b/versions/2",
            200,
            r#"{"schema":"B","references":[{"name":"c","subject":"c","version":1}]}"#,
        ),
        ("/base/subjects/c/versions/1", 200, r#"{"schema":"C"}"#),
        (
            "/base/schemas/ids/8",
            200,
            r#"{"schema":"x","schemaType":"PROTOBUF"}"#,
        ),
    ]);
    let mut client = RegistryClient::new(&settings(&format!("{url}/base/"))).unwrap();
    let found = client.schema(7).await.unwrap();
    assert_eq!(found.kind, "AVRO");
    assert_eq!(found.text, "A");
    assert_eq!(found.referenced, ["C", "B"]);
    assert_eq!(client.schema(8).await.unwrap().kind, "PROTOBUF");
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_what_is_forbidden_is_not() {
    let url = serve(&[
        ("/schemas/ids/1", 503, "{}"),
        ("/schemas/ids/2", 403, "{}"),
        ("/schemas/ids/3", 200, "no JSON"),
        ("/schemas/ids/4", 200, "{}"),
    ]);
    let mut client = RegistryClient::new(&settings(&url)).unwrap();
    for (id, waits, says) in [
        (1, true, "does not give schema 1"),
        (2, false, "refuses to give schema 2"),
        (3, true, "is no JSON"),
        (4, true, "holds no `schema`"),
        (5, true, "has no schema 5: register it there"),
    ] {
        let error = client.schema(id).await.unwrap_err();
        assert_eq!(matches!(error, Error::Unavailable { .. }), waits, "{error}");
        assert!(error.chain().contains(says), "{}", error.chain());
    }
    let error = client.probe().await.unwrap_err();
    assert!(
        error.to_string().contains("(/schemas/types): correct"),
        "{error}"
    );
    let mut away = RegistryClient::new(&settings("http://127.0.0.1:9")).unwrap();
    assert!(matches!(
        away.schema(1).await,
        Err(Error::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_schema_is_registered_under_its_subject() {
    let url = serve(&[
        ("/subjects/a-value/versions", 200, r#"{"id":12}"#),
        ("/subjects/b-value/versions", 409, r#"{"error_code":409}"#),
        ("/subjects/c-value/versions", 200, "{}"),
        ("/schemas/types", 200, r#"["AVRO"]"#),
    ]);
    let mut client = RegistryClient::new(&settings(&url)).unwrap();
    client.probe().await.unwrap();
    assert_eq!(client.register("a-value", "\"int\"").await.unwrap(), 12);
    let error = client.register("b-value", "\"int\"").await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error}");
    assert!(error.to_string().contains("not compatible"), "{error}");
    let error = client.register("c-value", "\"int\"").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[test]
fn settings_are_checked_and_keep_their_secrets() {
    let check = |url: &str, expect: &str| {
        let found: Vec<String> = settings(url)
            .check()
            .iter()
            .map(|p| p.message.clone())
            .collect();
        assert!(found.join("").contains(expect), "{url}: {found:?}");
        assert_eq!(found.is_empty(), expect.is_empty(), "{url}");
    };
    check("http://host:8081", "");
    check("https://host/apis/ccompat/v7", "");
    check("host:8081", "is no URL");
    check("registry", "is no URL");
    check("http://me:canary@host", "auth = ");
    let secret = serde_json::json!({ "url": "http://h?k=canary",
        "auth": { "type": "bearer", "token": "canary" } });
    let settings: SchemaRegistry = serde_json::from_value(secret).unwrap();
    assert!(!format!("{settings:?}").contains("canary"));
    assert!(!format!("{:?}", RegistryClient::new(&settings).unwrap()).contains("canary"));
}
