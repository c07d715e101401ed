//! Files that are run side by side: each pipeline needs a name of its own, since positions, conflicts and
//! quarantine are kept under it (R24).

use super::{PipelineFile, Report};
use crate::problem::Problem;

/// Refuses pipelines of one name.
///
/// # Errors
/// Every file whose name another one has already, with both files.
pub fn check_together(files: &[PipelineFile]) -> Result<(), Report> {
    let mut report = Report::default();
    for (index, file) in files.iter().enumerate() {
        if let Some(first) = files[..index].iter().find(|first| first.name == file.name) {
            let message = format!(
                "pipeline {:?} is in {} and in {}: positions, conflicts and quarantine are kept under the name",
                file.name,
                first.document.path(),
                file.document.path()
            );
            let help = "give one of them another `name`, or run them on their own";
            let problem = Problem::new(&["name"], message).help(help);
            report.append(file.document.report(vec![problem]));
        }
    }
    if report.is_empty() {
        Ok(())
    } else {
        Err(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_name_is_of_one_file() {
        let check = |names: &[(&str, &str)], expect: &[&str]| {
            let files: Vec<PipelineFile> = names
                .iter()
                .map(|(path, name)| {
                    let text = format!(
                        "{name}[sources.s]\ntype = \"file\"\npath = \"a\"\nformat = \"debezium-json\"\n\
                         [sinks.t]\ntype = \"blackhole\"\ninputs = [\"s\"]\n"
                    );
                    load_text(path, text, &|_| None).expect("it is a pipeline")
                })
                .collect();
            let shown = check_together(&files)
                .err()
                .map(|report| report.render(false))
                .unwrap_or_default();
            assert_eq!(shown.is_empty(), expect.is_empty(), "{shown}");
            for part in expect {
                assert!(shown.contains(part), "no {part} in {shown}");
            }
        };
        let named = "name = \"crm\"\n";
        check(&[("a.toml", ""), ("b.toml", "")], &[]);
        check(&[("a.toml", named), ("b.toml", "")], &[]);
        check(
            &[("a.toml", named), ("b.toml", named)],
            &["a.toml", "b.toml:1", "\"crm\"", "another `name`"],
        );
        // The name is that of the file, and the same file twice is no other.
        check(
            &[("x/a.toml", ""), ("y/a.toml", "")],
            &["x/a.toml", "y/a.toml"],
        );
        check(&[("a.toml", ""), ("a.toml", "")], &["a.toml"]);
    }
}
