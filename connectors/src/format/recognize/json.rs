//! JSON objects that follow another convention than Debezium's, and decimals in base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::{Form, form};

/// What a decimal in base64 means.
pub const BASE64_DECIMALS: &str = "its values are base64: Debezium writes decimals so where decimal.handling.mode is precise and the records carry no schema; set decimal.handling.mode = string in the connector, or value.converter.schemas.enable = true";

const QUOTED: Form = form(
    "JSON within a JSON string",
    "the producer serialises twice: write the object itself, or set value.converter to org.apache.kafka.connect.storage.StringConverter",
);
const MONGODB: Form = Form {
    name: "changes of MongoDB, whose documents have no columns",
    remedy: "let the connector flatten them (transforms: io.debezium.connector.mongodb.transforms.ExtractNewDocumentState)",
    keys: &["_id"],
};
const AVRO_JSON: Form = Form {
    name: "Avro written as JSON, each value within the name of its type",
    remedy: "set value.converter of the connector to org.apache.kafka.connect.json.JsonConverter",
    keys: &[],
};

/// Changes of Maxwell where rows or events of Debezium are expected.
pub const MAXWELL: Form = Form {
    name: "changes of Maxwell",
    remedy: "write format = \"maxwell-json\"",
    keys: &["database", "table", "type"],
};

/// Conventions that top-level keys tell.
const CONVENTIONS: &[Convention] = &[
    Convention {
        form: Form {
            name: "CloudEvents",
            remedy: "set value.converter of the connector to org.apache.kafka.connect.json.JsonConverter instead of io.debezium.converters.CloudEventsConverter",
            keys: &["specversion"],
        },
        keys: &[
            ("specversion", Kind::Text),
            ("type", Kind::Text),
            ("source", Kind::Text),
            ("id", Kind::Any),
        ],
    },
    Convention {
        form: Form {
            name: "changes of Canal",
            remedy: "capture the database with Debezium",
            keys: &["isDdl"],
        },
        keys: &[
            ("isDdl", Kind::Any),
            ("type", Kind::Text),
            ("table", Kind::Text),
            ("data", Kind::Any),
        ],
    },
    Convention {
        form: MAXWELL,
        keys: &[
            ("database", Kind::Text),
            ("table", Kind::Text),
            (
                "type",
                Kind::OneOf(&[
                    "insert",
                    "update",
                    "delete",
                    "bootstrap-insert",
                    "bootstrap-start",
                ]),
            ),
            ("ts", Kind::Any),
        ],
    },
    Convention {
        form: Form {
            name: "changes of Oracle GoldenGate",
            remedy: "capture the database with Debezium",
            keys: &["op_type"],
        },
        keys: &[
            ("op_type", Kind::OneOf(&["I", "U", "D", "T"])),
            ("op_ts", Kind::Any),
            ("table", Kind::Text),
        ],
    },
    Convention {
        form: Form {
            name: "changes of AWS DMS",
            remedy: "capture the database with Debezium",
            keys: &["metadata"],
        },
        keys: &[("metadata", Kind::With("record-type"))],
    },
    Convention {
        form: Form {
            name: "changes of wal2json",
            remedy: "capture the database with Debezium (plugin.name = pgoutput)",
            keys: &["action"],
        },
        keys: &[
            ("action", Kind::OneOf(&["I", "U", "D", "T", "B", "C"])),
            ("schema", Kind::Text),
            ("table", Kind::Text),
        ],
    },
];

struct Convention {
    form: Form,
    /// All of them have to be there.
    keys: &'static [(&'static str, Kind)],
}

enum Kind {
    Any,
    Text,
    OneOf(&'static [&'static str]),
    /// An object that has this key.
    With(&'static str),
}

impl Kind {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.is_string(),
            Self::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Self::With(key) => value.get(key).is_some(),
        }
    }
}

/// What values are, all of them, that a decoder may take for rows.
pub fn foreign_json(values: &[&[u8]]) -> Option<Form> {
    let (first, rest) = values.split_first()?;
    let form = foreign(first)?;
    let all = rest.iter().all(|value| foreign(value) == Some(form));
    all.then_some(form)
}

/// Debezium events where rows are expected.
pub const EVENTS: Form = form(
    "events of Debezium and no rows",
    "write format = \"debezium-json\"",
);

/// Whether all values are envelopes, with or without their schema.
pub fn are_events(values: &[&[u8]]) -> bool {
    let is_event = |value: &&[u8]| {
        object(value).is_some_and(|outer| {
            let event = outer.get("payload").and_then(Value::as_object);
            let event = event.unwrap_or(&outer);
            let image = event.contains_key("before") || event.contains_key("after");
            image && event.get("op").is_some_and(Value::is_string)
        })
    };
    !values.is_empty() && values.iter().all(is_event)
}

/// A value that is JSON and no object.
pub(super) fn unreadable(value: &[u8]) -> Option<Form> {
    if value.first() == Some(&b'"') {
        let text: String = serde_json::from_slice(value).ok()?;
        return object(text.as_bytes()).map(|_| QUOTED);
    }
    foreign(value)
}

fn foreign(value: &[u8]) -> Option<Form> {
    let outer = object(value)?;
    // Within the wrapper that carries a schema.
    let event = match (outer.get("schema"), outer.get("payload")) {
        (Some(_), Some(Value::Object(payload))) => payload,
        _ => &outer,
    };
    let of_keys = CONVENTIONS.iter().find(|convention| {
        let mut keys = convention.keys.iter();
        keys.all(|(key, kind)| event.get(*key).is_some_and(|value| kind.fits(value)))
    });
    if let Some(convention) = of_keys {
        return Some(convention.form);
    }
    if is_mongodb(event) {
        return Some(MONGODB);
    }
    let images = ["before", "after"].map(|image| event.get(image));
    let typed = |image: &Value| {
        let mut fields = image.as_object().into_iter().flatten();
        matches!((fields.next(), fields.next()), (Some((name, Value::Object(_))), None) if name.ends_with(".Value"))
    };
    images.into_iter().flatten().any(typed).then_some(AVRO_JSON)
}

fn is_mongodb(event: &Map<String, Value>) -> bool {
    let document = |image: &Value| {
        image
            .as_str()
            .is_some_and(|text| object(text.as_bytes()).is_some())
    };
    let by_image = event.contains_key("op")
        && ["after", "before"]
            .iter()
            .filter_map(|image| event.get(*image))
            .any(document);
    let by_id = event.get("_id").is_some_and(|id| id.get("$oid").is_some());
    let by_stream = event.contains_key("operationType") && event.contains_key("documentKey");
    by_image || by_id || by_stream
}

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Whether a record holds, in a field of its row, base64 where no number stands.
pub fn is_base64_field(record: &[u8], field: &str) -> bool {
    let Some(outer) = object(record) else {
        return false;
    };
    let event = match outer.get("payload") {
        Some(Value::Object(payload)) => payload,
        _ => &outer,
    };
    let row = match (event.get("after"), event.get("before")) {
        (Some(Value::Object(row)), _) | (_, Some(Value::Object(row))) => row,
        _ => event,
    };
    let Some(text) = row.get(field).and_then(Value::as_str) else {
        return false;
    };
    text.parse::<f64>().is_err() && !text.is_empty() && BASE64_STANDARD.decode(text).is_ok()
}
