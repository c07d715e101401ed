use super::*;

fn outcome(name: &str, differences: &[&str]) -> Outcome {
    Outcome {
        file: "p.toml".to_owned(),
        name: name.to_owned(),
        took: Duration::from_millis(5),
        differences: differences.iter().map(|&line| line.to_owned()).collect(),
    }
}

#[test]
fn results_are_text_or_xml() {
    let outcomes = [
        outcome("a", &[]),
        outcome("b < c", &["s: x expected \"1\", found 2"]),
    ];
    assert_eq!(
        text(&[], &outcomes),
        "p.toml: a … ok\np.toml: b < c … FAILED\n    s: x expected \"1\", found 2\n1 passed, 1 failed\n"
    );
    let xml = junit(&outcomes);
    assert!(
        xml.contains("<testcase classname=\"p.toml\" name=\"a\" time=\"0.005\"/>"),
        "{xml}"
    );
    assert!(xml.contains("name=\"b &lt; c\""), "{xml}");
    assert!(
        xml.contains("x expected &quot;1&quot;, found 2</failure>"),
        "{xml}"
    );
    assert_eq!(xml.matches("<testcase").count(), 2);
}
