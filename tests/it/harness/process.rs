//! A child process: its output goes to files, signals are sent to its process id, and it is killed
//! when its handle is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

pub(crate) struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`; its output is appended to `NAME.stdout` and `NAME.stderr` in `folder`.
    pub(crate) fn start(name: &str, folder: &Path, mut command: Command) -> Self {
        let open = |path: &Path| {
            let opened = File::options().append(true).create(true).open(path);
            opened.unwrap_or_else(|error| panic!("{} cannot be opened: {error}", path.display()))
        };
        let stdout = folder.join(format!("{name}.stdout"));
        let stderr = folder.join(format!("{name}.stderr"));
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Requests an orderly stop (SIGTERM).
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks for a reload (SIGHUP).
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Kills the process (SIGKILL) and waits until it has ended. `false` if it had already ended.
    pub(crate) fn kill(&mut self) -> bool {
        let ran = self.is_running();
        if ran {
            self.signal(Signal::KILL);
            self.child.wait().expect("a child can be waited for");
        }
        ran
    }

    /// Requests that a PostgreSQL server stops without a checkpoint (SIGQUIT).
    pub(crate) fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    /// Freezes the process (SIGSTOP): it keeps its connections but answers nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues the process (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.exited().is_none()
    }

    /// The resident memory of the process, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.child.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        1024 * kibibytes.map_or(0, |number| number.parse().expect("a number of KiB"))
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, deadline, async || {
            self.exited().ok_or_else(|| self.stderr_tail())
        })
        .await
    }

    /// Fails the test, with the output of the process, if it has ended.
    pub(crate) fn expect_running(&mut self) {
        if let Some(status) = self.exited() {
            panic!("{} ended with {status}:\n{}", self.name, self.stderr_tail());
        }
    }

    /// The output to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// The output to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    fn signal(&self, signal: Signal) {
        // Only this handle reaps the child, so its id cannot belong to another process.
        kill_process(Pid::from_child(&self.child), signal).expect("a child takes signals");
    }

    fn stderr_tail(&self) -> String {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} said at last:\n{}", self.name, self.stderr_tail());
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
