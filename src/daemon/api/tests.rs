use expect_test::expect_file;

use super::openapi::openapi;
use super::routes::routes;

#[test]
fn the_description_is_the_one_that_is_checked_in() {
    expect_file!["../../../docs/openapi.json"].assert_eq(&format!("{:#}\n", openapi()));
}

#[test]
fn every_route_is_described_once_and_every_reference_leads_somewhere() {
    let document = openapi();
    let paths = document["paths"].as_object().expect("there are paths");
    assert_eq!(paths.len(), routes().len());
    for route in routes() {
        let operation = &paths[route.path][route.method];
        assert!(operation["summary"].is_string(), "{}", route.path);
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1) {
        let reference = reference.split('"').next().expect("it is closed");
        let pointer = reference.strip_prefix('#').expect("it is in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
