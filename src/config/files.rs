//! Which files the arguments of a command mean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::cases::is_tests;
use super::report::Report;
use super::service::SERVICE_FILE;

/// Expands arguments to pipeline files: a file stays as it is, a folder becomes every `*.toml` in
/// it, ordered by name.
///
/// # Errors
/// A folder that cannot be read, or that contains no pipeline file.
pub fn pipeline_files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Report> {
    let mut files = Vec::new();
    let mut report = Report::default();
    for argument in arguments {
        let shown = argument.display().to_string();
        let is_service = |path: &Path| path.file_name() == Some(OsStr::new(SERVICE_FILE));
        if !argument.is_dir() {
            if is_service(argument) {
                let message = "this file says what pipelines share and is none itself: name the \
                               folder, or the files of the pipelines";
                report.append(Report::unreadable(&shown, message.to_owned()));
            }
            files.push(argument.clone());
            continue;
        }
        match std::fs::read_dir(argument) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.extension() == Some(OsStr::new("toml")) && path.is_file())
                    .filter(|path| !is_service(path) && !is_tests(path))
                    .collect();
                if found.is_empty() {
                    let message = "the folder contains no pipeline file (*.toml)".to_owned();
                    report.append(Report::unreadable(&shown, message));
                }
                found.sort();
                files.append(&mut found);
            }
            Err(error) => {
                let message = format!("the folder cannot be read: {error}");
                report.append(Report::unreadable(&shown, message));
            }
        }
    }
    if report.is_empty() {
        Ok(files)
    } else {
        Err(report)
    }
}
