//! `syncline schema`: prints the JSON Schema of a pipeline file, or the reference that is generated
//! from it.

use clap::Args;

use super::{Exit, Global, print, print_json};
use crate::config::{editor_schema, reference_markdown, service_schema};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print the Markdown reference (`docs/reference.md`) instead.
    #[arg(long)]
    markdown: bool,
    /// Print the JSON Schema of `syncline.toml` instead.
    #[arg(long, conflicts_with = "markdown")]
    service: bool,
}

pub(crate) fn run(arguments: &Arguments, _: &Global) -> Exit {
    if arguments.markdown {
        print(&reference_markdown())
    } else if arguments.service {
        print_json(service_schema())
    } else {
        print_json(&editor_schema())
    }
}
