use super::*;

/// The examples in the documentation of the settings must be valid, because people copy them.
#[test]
fn every_documented_snippet_parses() {
    type Read = fn(toml::Table) -> OperatorConfig;
    let sources: [(&str, &str, Read); 9] = [
        ("map", include_str!("map.rs"), |table| {
            OperatorConfig::Map(table.try_into().expect("settings"))
        }),
        ("filter", include_str!("filter.rs"), |table| {
            OperatorConfig::Filter(table.try_into().expect("settings"))
        }),
        ("validate", include_str!("validate.rs"), |table| {
            OperatorConfig::Validate(table.try_into().expect("settings"))
        }),
        ("normalize", include_str!("normalize.rs"), |table| {
            OperatorConfig::Normalize(table.try_into().expect("settings"))
        }),
        ("mask", include_str!("mask.rs"), |table| {
            OperatorConfig::Mask(table.try_into().expect("settings"))
        }),
        ("dedupe", include_str!("dedupe.rs"), |table| {
            OperatorConfig::Dedupe(table.try_into().expect("settings"))
        }),
        ("explode", include_str!("explode.rs"), |table| {
            OperatorConfig::Explode(table.try_into().expect("settings"))
        }),
        ("route", include_str!("route.rs"), |table| {
            OperatorConfig::Route(table.try_into().expect("settings"))
        }),
        ("lookup", include_str!("lookup.rs"), |table| {
            OperatorConfig::Lookup(table.try_into().expect("settings"))
        }),
    ];
    for (kind, source, read) in sources {
        let lines = source.lines().map_while(|line| match line {
            "#[cfg(test)]" => None,
            line => Some(line.trim_start_matches("///").trim_start()),
        });
        let text: Vec<&str> = lines.collect();
        let snippets: Vec<String> = text
            .split(|line| line.starts_with("```"))
            .skip(1)
            .step_by(2)
            .map(|snippet| snippet.join("\n"))
            .collect();
        assert!(!snippets.is_empty(), "{kind} shows a snippet");
        for snippet in snippets {
            let file: toml::Table = toml::from_str(&snippet).expect(&snippet);
            let operators = file["operators"].as_table().expect("a table of operators");
            for settings in operators.values() {
                let mut settings = settings.as_table().expect("a table").clone();
                assert_eq!(settings.remove("type"), Some(kind.into()));
                let config = read(settings);
                assert_eq!(check_without_schema(&config), []);
            }
        }
    }
}

#[test]
fn unknown_settings_are_refused() {
    assert!(toml::from_str::<MapConfig>("field.a = 'x'").is_err());
    assert!(toml::from_str::<FilterConfig>("where = 'a'\nwhen = 'b'").is_err());
    assert!(toml::from_str::<ValidateConfig>("rules = [{ feild = 'x' }]").is_err());
}
