//! `syncline validate`: everything that is wrong with pipeline files, at once.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Global, coloured, print, print_json, refuse};
use crate::config::{Report, load, pipeline_files};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pipeline files, and folders of them (`*.toml`).
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let paths = match pipeline_files(&arguments.paths) {
        Ok(paths) => paths,
        Err(report) => return refuse(&report, global),
    };
    let mut wrong = Report::default();
    let mut text = String::new();
    for path in &paths {
        match load(path) {
            Ok(file) => {
                text.push_str(&format!("{}: ok\n", file.document.path()));
            }
            Err(report) => {
                wrong.append(report);
            }
        }
    }
    if global.json {
        print_json(&wrong.to_json());
    } else {
        text.insert_str(0, &wrong.render(coloured(&std::io::stdout())));
        print(&text);
    }
    if wrong.is_empty() {
        Exit::Done
    } else {
        Exit::Configuration
    }
}
