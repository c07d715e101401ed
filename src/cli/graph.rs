//! `syncline graph`: prints the graph of a pipeline as text, for Graphviz or Mermaid, or as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::{Exit, Global, print, print_json, refuse};
use crate::config::{PipelineFile, Services, load};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    /// The output format.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Json,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let file = match load(&arguments.file, &mut Services::new(global.config.clone())) {
        Ok(file) => file,
        Err(report) => return refuse(&report, global),
    };
    let graph = Graph::of(&file);
    match arguments.format {
        _ if global.json => print_json(&graph.json()),
        Format::Json => print_json(&graph.json()),
        Format::Text => print(&graph.text()),
        Format::Dot => print(&graph.dot()),
        Format::Mermaid => print(&graph.mermaid()),
    }
}

/// The nodes of a pipeline in the order of the file, and their readers.
struct Graph {
    pipeline: String,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    section: &'static str,
    kind: &'static str,
    inputs: Vec<String>,
}

impl Graph {
    fn of(file: &PipelineFile) -> Self {
        // An output of a route stands for the route.
        let owner = |input: &String| {
            let mut operators = file.operators.iter();
            let found = operators.find(|(name, operator)| {
                operator
                    .output_names(name)
                    .iter()
                    .any(|output| output == input)
            });
            found.map_or_else(|| input.clone(), |(name, _)| name.clone())
        };
        let node = |section, name: &String, kind, inputs: &[String]| {
            let mut inputs: Vec<String> = inputs.iter().map(owner).collect();
            inputs.dedup();
            Node {
                name: name.clone(),
                section,
                kind,
                inputs,
            }
        };
        let mut nodes = Vec::new();
        for (name, source) in &file.sources {
            nodes.push(node("source", name, source.describe().kind, &[]));
        }
        for (name, operator) in &file.operators {
            let kind = operator.kind();
            nodes.push(node("operator", name, kind, operator.inputs()));
        }
        for (name, sink) in &file.sinks {
            nodes.push(node("sink", name, sink.config.kind(), &sink.inputs));
        }
        Self {
            pipeline: file.name.clone(),
            nodes,
        }
    }

    /// A tree for each source; a node with several inputs is shown in full once.
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.pipeline);
        let mut drawn = BTreeSet::new();
        let sources: Vec<&Node> = self
            .nodes
            .iter()
            .filter(|node| node.section == "source")
            .collect();
        for (index, source) in sources.iter().enumerate() {
            self.branch(
                source,
                "",
                index + 1 == sources.len(),
                &mut drawn,
                &mut text,
            );
        }
        text
    }

    fn branch<'g>(
        &'g self,
        node: &'g Node,
        indent: &str,
        last: bool,
        drawn: &mut BTreeSet<&'g str>,
        text: &mut String,
    ) {
        let (corner, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let again = !drawn.insert(&node.name);
        let readers = self.readers(&node.name);
        let more = if again && !readers.is_empty() {
            " …"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{indent}{corner}{} ({} {}){more}",
            node.name, node.kind, node.section
        );
        if again {
            return;
        }
        let indent = format!("{indent}{below}");
        for (index, reader) in readers.iter().enumerate() {
            self.branch(reader, &indent, index + 1 == readers.len(), drawn, text);
        }
    }

    fn readers(&self, name: &str) -> Vec<&Node> {
        self.nodes
            .iter()
            .filter(|node| node.inputs.iter().any(|input| input == name))
            .collect()
    }

    fn dot(&self) -> String {
        let mut text = format!("digraph {:?} {{\n  rankdir = LR\n", self.pipeline);
        for node in &self.nodes {
            let shape = match node.section {
                "source" => "cds",
                "sink" => "cylinder",
                _ => "box",
            };
            let _ = writeln!(
                text,
                "  {:?} [shape = {shape}, label = \"{}\\n{}\"]",
                node.name, node.name, node.kind
            );
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  {from:?} -> {to:?}");
        }
        text.push_str("}\n");
        text
    }

    fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (index, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.section {
                "source" => ("([", "])"),
                "sink" => ("[(", ")]"),
                _ => ("[", "]"),
            };
            let _ = writeln!(
                text,
                "  n{index}{open}\"{}<br/>{}\"{close}",
                node.name, node.kind
            );
        }
        for (from, to) in self.edges() {
            // A name can be a keyword of Mermaid, such as `end`, so nodes get numbers.
            let number = |name| self.nodes.iter().position(|node| node.name == name);
            if let (Some(from), Some(to)) = (number(from), number(to)) {
                let _ = writeln!(text, "  n{from} --> n{to}");
            }
        }
        text
    }

    fn json(&self) -> Json {
        let nodes: Vec<Json> = self
            .nodes
            .iter()
            .map(|node| json!({ "name": node.name, "kind": node.section, "type": node.kind }))
            .collect();
        let edges: Vec<Json> = self
            .edges()
            .map(|(from, to)| json!({ "from": from, "to": to }))
            .collect();
        json!({ "pipeline": self.pipeline, "nodes": nodes, "edges": edges })
    }

    fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().flat_map(|node| {
            node.inputs
                .iter()
                .map(|input| (input.as_str(), node.name.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn graph() -> Graph {
        let node = |section, name: &str, kind, inputs: &[&str]| Node {
            name: name.to_owned(),
            section,
            kind,
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
        };
        Graph {
            pipeline: "clients".to_owned(),
            nodes: vec![
                node("source", "crm", "kafka", &[]),
                node("source", "old", "file", &[]),
                node("operator", "tidy", "map", &["crm", "old"]),
                node("sink", "end", "postgres", &["tidy"]),
                node("sink", "copy", "file", &["tidy", "old"]),
            ],
        }
    }

    #[test]
    fn the_text_draws_a_shared_branch_once() {
        expect![[r#"
            clients
            ├─ crm (kafka source)
            │  └─ tidy (map operator)
            │     ├─ end (postgres sink)
            │     └─ copy (file sink)
            └─ old (file source)
               ├─ tidy (map operator) …
               └─ copy (file sink)
        "#]]
        .assert_eq(&graph().text());
    }

    #[test]
    fn the_other_formats_hold_every_node_and_edge() {
        expect![[r#"
            digraph "clients" {
              rankdir = LR
              "crm" [shape = cds, label = "crm\nkafka"]
              "old" [shape = cds, label = "old\nfile"]
              "tidy" [shape = box, label = "tidy\nmap"]
              "end" [shape = cylinder, label = "end\npostgres"]
              "copy" [shape = cylinder, label = "copy\nfile"]
              "crm" -> "tidy"
              "old" -> "tidy"
              "tidy" -> "end"
              "tidy" -> "copy"
              "old" -> "copy"
            }
        "#]]
        .assert_eq(&graph().dot());
        expect![[r#"
            flowchart LR
              n0(["crm<br/>kafka"])
              n1(["old<br/>file"])
              n2["tidy<br/>map"]
              n3[("end<br/>postgres")]
              n4[("copy<br/>file")]
              n0 --> n2
              n1 --> n2
              n2 --> n3
              n2 --> n4
              n1 --> n4
        "#]]
        .assert_eq(&graph().mermaid());
        expect![[r#"{"pipeline":"clients","nodes":[{"name":"crm","kind":"source","type":"kafka"},{"name":"old","kind":"source","type":"file"},{"name":"tidy","kind":"operator","type":"map"},{"name":"end","kind":"sink","type":"postgres"},{"name":"copy","kind":"sink","type":"file"}],"edges":[{"from":"crm","to":"tidy"},{"from":"old","to":"tidy"},{"from":"tidy","to":"end"},{"from":"tidy","to":"copy"},{"from":"old","to":"copy"}]}"#]].assert_eq(&graph().json().to_string());
    }
}
