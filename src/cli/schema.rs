//! `syncline schema`: prints the JSON Schema of a pipeline file, or the reference that is generated
//! from it.

use clap::Args;

use super::{Exit, Global, print, print_json};
use crate::config::{pipeline_schema, reference_markdown};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print the Markdown reference (`docs/reference.md`) instead.
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(arguments: &Arguments, _: &Global) -> Exit {
    if arguments.markdown {
        print(&reference_markdown())
    } else {
        print_json(pipeline_schema())
    }
}
