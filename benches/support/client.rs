//! Runs scripts with the databases' own clients.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a script with `psql`, statement by statement.
pub fn psql(url: &str, script: &str) {
    let mut command = Command::new("psql");
    command.args(["--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", url]);
    feed(command, script);
}

/// Runs a database's client with a script on its standard input.
pub fn feed(mut command: Command, script: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the database's client is installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(script.as_bytes())
        .expect("the client reads");
    drop(stdin);
    assert!(
        child.wait().expect("the client ends").success(),
        "the database's client failed"
    );
}
