//! The description of the API (OpenAPI 3.1), made from the list of routes and the types of the answers.

use schemars::JsonSchema as _;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::routes::{Answer, Route, routes};
use crate::daemon::view::Problem;

/// The document; `docs/openapi.json` is the same.
pub fn openapi() -> Json {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let mut paths = Map::new();
    for route in routes() {
        let (kind, schema) = match route.answer {
            Answer::Json(schema) => ("application/json", schema(&mut generator).to_value()),
            Answer::Text(kind) => (kind, json!({})),
        };
        let answer = json!({ "description": "Done.", "content": { kind: { "schema": schema } } });
        let mut responses = Map::from_iter([("200".to_owned(), answer)]);
        if matches!(route.path, "/readyz" | "/ready") {
            let description = "As 200, with what is not ready.";
            let content = json!({ "application/json": { "schema": schema } });
            let answer = json!({ "description": description, "content": content });
            responses.insert("503".to_owned(), answer);
        }
        let refused = [
            ("401", "The token is missing or wrong."),
            (
                "403",
                "There is no token, and the request does not name this machine.",
            ),
        ];
        for (status, description) in refused.iter().chain(route.refusals) {
            let content = json!({ "application/json": { "schema": problem } });
            let answer = json!({ "description": description, "content": content });
            responses.insert((*status).to_owned(), answer);
        }
        let operation = json!({
            "summary": route.summary,
            "operationId": operation_id(&route),
            "parameters": parameters(&route),
            "responses": responses,
        });
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    let own = Problem::json_schema(&mut generator).to_value();
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), own);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Syncline",
            "description": "The control API of `syncline run`.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '.']).filter(|word| !word.is_empty());
    let words = words.map(|word| word.trim_matches(['{', '}']));
    let words: Vec<&str> = std::iter::once(route.method).chain(words).collect();
    words.join("_")
}

fn parameters(route: &Route) -> Vec<Json> {
    let mut parameters = Vec::new();
    if route.path.contains("{name}") {
        parameters.push(json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": "The name of the pipeline.",
            "schema": { "type": "string" },
        }));
    }
    for (name, description) in route.query {
        let kind = match *name {
            "limit" => "integer",
            _ => "string",
        };
        parameters.push(json!({
            "name": name,
            "in": "query",
            "description": description,
            "schema": { "type": kind },
        }));
    }
    parameters
}
