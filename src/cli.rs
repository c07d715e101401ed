//! The command line: one file a command.
//!
//! Results go to stdout, logs and the errors of commands to stderr, and with `--json` both are for a
//! machine. What a command returns is the exit code: see [`Exit`].

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, PipelineFile, Report, Services, load, pipeline_files};

mod client;
mod conflicts;
mod control;
mod doctor;
mod eval;
mod graph;
mod list;
mod positions;
mod progress;
mod quarantine;
mod run;
mod schema;
mod summary;
mod test;
mod validate;
mod waiting;
mod watch;

/// What every `--help` ends with.
const AFTER_HELP: &str = "\
Examples:
  syncline validate clients.toml         every mistake at once, each at its place
  syncline run clients.toml --once       until the source is read to its end
  syncline run pipelines/                every file of a folder, until SIGTERM
  syncline status                        what the pipelines of a running process do

Exit codes:
  0  done
  1  failed while running; with --fail-on-quarantine: something is in quarantine
  2  the configuration or the command line is wrong
  3  a system outside is not reachable; `run` waits for it, but with --once or --fail-fast
  130, 143  ended by a second SIGINT or SIGTERM";

/// Keeps systems in sync: change data capture in, exact and conflict-aware writes out.
#[derive(Debug, Parser)]
#[command(name = "syncline", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run pipelines until they are stopped, or once.
    Run(run::Arguments),
    /// Show what the pipelines of a running process do; exit code 1 where one is not ready.
    Status(control::StatusArguments),
    /// Drain a pipeline of a running process and keep it stopped, also over a restart of the process.
    Pause(control::NamedArguments),
    /// Let a paused pipeline of a running process go on.
    Resume(control::NamedArguments),
    /// Drain a pipeline of a running process and begin it again.
    Restart(control::NamedArguments),
    /// Run a pipeline of a running process now that waits for the next time of its schedule.
    RunNow(control::NamedArguments),
    /// Let a running process read its configuration again: only pipelines that differ begin anew.
    Reload(control::ReloadArguments),
    /// Ask every system of every pipeline, step by step, and say what to do where one fails.
    Doctor(doctor::Arguments),
    /// Check pipeline files and show everything that is wrong with them.
    Validate(validate::Arguments),
    /// Run the tests of pipelines, from the record to the row in the target.
    Test(test::Arguments),
    /// Try an expression on a row, or on the first rows of a source.
    Eval(eval::Arguments),
    /// Show the graph of a pipeline.
    Graph(graph::Arguments),
    /// List every source, operator, sink, format, strategy and function, or show one of them.
    List(list::Arguments),
    /// Print the JSON Schema of a pipeline file, for editors.
    Schema(schema::Arguments),
    /// Look at conflicts: what waits for a person, what was decided and why, and how often.
    Conflicts(conflicts::Arguments),
    /// Look at changes that wait for a row that a foreign key needs.
    Waiting(waiting::Arguments),
    /// Look at rejected changes.
    Quarantine(quarantine::Arguments),
    /// Look at where a pipeline stands, begin anew, or begin at another place.
    Positions(positions::Arguments),
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How logs are written to stderr; RUST_LOG says which.
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// The `syncline.toml` to read; by default the one beside each pipeline file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed while it ran.
    Failed = 1,
    /// The configuration, or the command line, is wrong.
    Configuration = 2,
    /// Something outside is not reachable.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    // A wrong command line ends here, with 2.
    let cli = Cli::parse();
    start_log(&cli.global, &log_settings(&cli));
    let exit = match &cli.command {
        Command::Run(arguments) => run::run(arguments, &cli.global),
        Command::Status(arguments) => control::status(arguments, &cli.global),
        Command::Pause(arguments) => control::tell(arguments, "pause", &cli.global),
        Command::Resume(arguments) => control::tell(arguments, "resume", &cli.global),
        Command::Restart(arguments) => control::tell(arguments, "restart", &cli.global),
        Command::RunNow(arguments) => control::tell(arguments, "run", &cli.global),
        Command::Reload(arguments) => control::reload(arguments, &cli.global),
        Command::Doctor(arguments) => doctor::run(arguments, &cli.global),
        Command::Validate(arguments) => validate::run(arguments, &cli.global),
        Command::Test(arguments) => test::run(arguments, &cli.global),
        Command::Eval(arguments) => eval::run(arguments, &cli.global),
        Command::Graph(arguments) => graph::run(arguments, &cli.global),
        Command::List(arguments) => list::run(arguments, &cli.global),
        Command::Schema(arguments) => schema::run(arguments, &cli.global),
        Command::Conflicts(arguments) => conflicts::run(arguments, &cli.global),
        Command::Waiting(arguments) => waiting::run(arguments, &cli.global),
        Command::Quarantine(arguments) => quarantine::run(arguments, &cli.global),
        Command::Positions(arguments) => positions::run(arguments, &cli.global),
    };
    exit.into()
}

/// Reads every pipeline file of `paths`, or shows what is wrong with any of them.
pub(crate) fn load_all(paths: &[PathBuf], global: &Global) -> Result<Vec<PipelineFile>, Exit> {
    let mut services = Services::new(global.config.clone());
    read_all(paths, &mut services).map_err(|report| refuse(&report, global))
}

/// Reads every pipeline file of `paths`, or everything that is wrong with any of them.
pub(crate) fn read_all(
    paths: &[PathBuf],
    services: &mut Services,
) -> Result<Vec<PipelineFile>, Report> {
    let paths = pipeline_files(paths)?;
    let mut files = Vec::with_capacity(paths.len());
    let mut wrong = Report::default();
    let mut broken = false;
    for path in &paths {
        match load(path, services) {
            Ok(file) => files.push(file),
            Err(report) => {
                broken = true;
                wrong.append(report);
            }
        }
    }
    if broken { Err(wrong) } else { Ok(files) }
}

/// Runs a command that asks systems outside.
pub(crate) fn block_on(command: impl Future<Output = Exit>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            Exit::Failed
        }
    }
}

/// Writes a result to stdout. A reader that has gone away is no failure.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// Writes a result to stdout as JSON.
pub(crate) fn print_json(json: &serde_json::Value) -> Exit {
    print(&format!("{json:#}\n"))
}

/// Shows why a command cannot begin: on stderr, or as JSON on stdout.
pub(crate) fn refuse(report: &Report, global: &Global) -> Exit {
    if global.json {
        print_json(&report.to_json());
    } else {
        let stderr = std::io::stderr();
        let text = report.render(coloured(&stderr));
        // There is nowhere left to say that stderr is closed.
        let _ = stderr.lock().write_all(text.as_bytes());
    }
    Exit::Configuration
}

/// Says on stderr what a person should know beside the result.
pub(crate) fn say(text: &str) {
    // There is nowhere left to say that stderr is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says on stderr why a command cannot do what was asked.
pub(crate) fn complain(message: &str) {
    // There is nowhere left to say that stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
}

/// Whether `stream` takes colour: a terminal, and no `NO_COLOR`.
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused
}

/// What `syncline.toml` says of the log, for the command that runs pipelines. What is wrong with the file
/// is shown by that command.
fn log_settings(cli: &Cli) -> Log {
    let Command::Run(arguments) = &cli.command else {
        return Log::default();
    };
    let mut services = Services::new(cli.global.config.clone());
    let service = services.of_process(&arguments.paths);
    service.map_or_else(|_| Log::default(), |file| file.settings.log.clone())
}

fn start_log(global: &Global, settings: &Log) {
    let default = match global.verbose {
        0 => settings
            .filter
            .as_deref()
            .unwrap_or("warn,syncline=info,syncline_connectors=info"),
        1 => "info,syncline=debug,syncline_connectors=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(coloured(&std::io::stderr()));
    // A log that was started before, by a test, stays.
    let _ = match global.log_format.unwrap_or(settings.format) {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_files_of_a_deployment_use_only_flags_that_exist() {
        use clap::CommandFactory as _;
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("it is there");
        let known = |flag: &str| run.get_arguments().any(|one| one.get_long() == Some(flag));
        let files = [
            ("deploy/helm/templates/syncline.yaml", "args: ", 1),
            ("deploy/kubernetes/syncline.yaml", "args: ", 0),
            ("deploy/syncline.service", "ExecStart=", 0),
            ("deploy/Dockerfile", "CMD ", 0),
        ];
        for (path, start, count) in files {
            let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let text = std::fs::read_to_string(place).expect("the file is there");
            let mut lines = text.lines().map(str::trim_start);
            let line = lines.find(|line| line.starts_with(start)).expect(path);
            assert!(line.contains("run"), "{path}: {line}");
            let words = line.split([' ', '"', ',']);
            let flags: Vec<&str> = words.filter_map(|word| word.strip_prefix("--")).collect();
            assert_eq!(flags.len(), count, "{path}: {line}");
            assert!(flags.iter().all(|flag| known(flag)), "{path}: {line}");
        }
    }

    #[test]
    fn exit_codes_are_those_that_are_documented() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Configuration,
            Exit::Unreachable,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3]);
    }
}
