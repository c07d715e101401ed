use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use regex::Regex;

use super::*;
use crate::config::{ServiceFile, load_text};
use crate::daemon::Loaded;
use crate::run::Options;

const PIPELINE: &str = "
[sources.crm]
type = \"file\"
path = \"in.jsonl\"
format = \"json\"
[sinks.out]
type = \"blackhole\"
inputs = [\"crm\"]
";

/// The names of the families, as one asks for them: with what the type appends.
fn names() -> BTreeSet<String> {
    let file = load_text("p.toml", PIPELINE.to_owned(), &|_| None).expect("it is a pipeline");
    let options = Options {
        once: true,
        fail_fast: false,
        lanes_max: 1,
        drain_deadline: Duration::from_secs(1),
    };
    let loaded = Loaded {
        service: Arc::new(ServiceFile::default()),
        files: vec![file],
    };
    let (daemon, _) = Daemon::new(loaded, options, Box::new(|| Err(Default::default())));
    let text = text(&daemon).expect("it is written");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("name and type");
            match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            }
        })
        .collect()
}

/// The metrics that a file names; those of a histogram by the name of its family.
fn named(path: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let pattern = Regex::new(r"\b(?:syncline|process)_[a-z_]+").expect("it is valid");
    let found = pattern
        .find_iter(&text)
        .map(|name| name.as_str().to_owned());
    found
        .map(|name| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part));
            match family {
                Some(family) if known.contains(family) => family.to_owned(),
                _ => name,
            }
        })
        .collect()
}

#[test]
fn the_names_are_those_that_are_documented() {
    let names = names();
    assert_eq!(named("docs/monitoring.md", &names), names);
}

#[test]
fn the_dashboard_and_the_alerts_name_only_metrics_that_exist() {
    let names = names();
    for file in ["deploy/grafana.json", "deploy/alerts.yaml"] {
        let used = named(file, &names);
        assert!(used.len() > 5, "{file}: {used:?}");
        let unknown: Vec<&String> = used.difference(&names).collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}");
    }
}

/// The paths of a YAML file of nested tables, as a template names them: `.Values.image.tag`.
fn paths_of_values(text: &str) -> BTreeSet<String> {
    let mut tables: Vec<(usize, &str)> = Vec::new();
    let mut paths = BTreeSet::new();
    for line in text.lines() {
        let key = line.trim_start();
        let Some((name, _)) = key.split_once(':').filter(|_| !key.starts_with('#')) else {
            continue;
        };
        let indent = line.len() - key.len();
        tables.retain(|(outer, _)| *outer < indent);
        tables.push((indent, name));
        let names: Vec<&str> = tables.iter().map(|(_, name)| *name).collect();
        paths.insert(format!(".Values.{}", names.join(".")));
    }
    paths
}

#[test]
fn the_helm_chart_names_only_values_metrics_and_routes_that_exist() {
    let names = names();
    let used = named("deploy/helm/templates/scaledobject.yaml", &names);
    assert!(!used.is_empty() && used.is_subset(&names), "{used:?}");
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(path);
        std::fs::read_to_string(path).expect("the file is there")
    };
    let known = paths_of_values(&read("helm/values.yaml"));
    let value = Regex::new(r"\.Values(?:\.\w+)+").expect("it is valid");
    let mut named = BTreeSet::new();
    for template in ["syncline.yaml", "scaledobject.yaml"] {
        let text = read(&format!("helm/templates/{template}"));
        named.extend(
            value
                .find_iter(&text)
                .map(|found| found.as_str().to_owned()),
        );
    }
    assert!(named.len() > 10, "{named:?}");
    assert!(named.is_subset(&known), "{:?}", named.difference(&known));
    let description = crate::daemon::api::openapi();
    let probe = Regex::new(r"httpGet: \{ path: (\S+),").expect("it is valid");
    for file in ["helm/templates/syncline.yaml", "kubernetes/syncline.yaml"] {
        let text = read(file);
        let probes: Vec<&str> = probe
            .captures_iter(&text)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        assert_eq!(probes.len(), 2, "{file}");
        for path in probes {
            assert!(description["paths"][path].is_object(), "{file}: {path}");
        }
    }
}
