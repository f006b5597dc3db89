//! A program of somebody else's, run to its end in a home of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Log;

/// Nobody listens there: what asks for the world outside is refused at once.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A program with an empty home and no way out of this machine.
#[derive(Debug)]
pub struct Program {
    command: Command,
    home: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none if it was killed, by us after the limit or by somebody else.
    pub code: Option<i32>,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Run {
    /// Everything it printed.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl Program {
    /// A program that sees nothing of our environment but `PATH`.
    pub fn new(path: impl AsRef<OsStr>) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("pollux-home-").tempdir()?;
        fs::create_dir(home.path().join("work"))?;
        let mut command = Command::new(path);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| (OsString::from("PATH"), path)));
        command.env("HOME", home.path()).env("TERM", "xterm").env("LANG", "C.UTF-8");
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(name, NOWHERE).env(name.to_lowercase(), NOWHERE);
        }
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        command.current_dir(home.path().join("work")).stdin(Stdio::null());
        // A group of its own: what it starts ends with it.
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(Self { command, home })
    }

    /// Its home; it runs in `work` inside.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Puts a file into its home.
    pub fn file(self, name: &str, text: &str) -> io::Result<Self> {
        let path = self.home.path().join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
        Ok(self)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end; beyond the limit it is killed.
    pub async fn run(self, limit: Duration) -> io::Result<Run> {
        let mut running = self.start()?;
        let code = running.wait(limit).await;
        running.kill();
        Ok(Run { code, stdout: running.stdout.whole().await, stderr: running.stderr.whole().await })
    }

    /// Starts it without waiting.
    pub fn start(mut self) -> io::Result<Running> {
        let mut child = self.command.spawn()?;
        let (stdout, stderr) = (Log::default(), Log::default());
        if let Some(pipe) = child.stdout.take() {
            stdout.follow(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            stderr.follow(pipe);
        }
        Ok(Running { child, stdout, stderr, _home: self.home })
    }
}

/// A program at work, killed with all it started when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it prints on stdout.
    pub stdout: Log,
    /// What it prints on stderr.
    pub stderr: Log,
    _home: TempDir,
}

impl Running {
    /// Waits for its end: its exit code, or nothing where it was killed or the limit came first.
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("the signal was not sent")) }
    }

    fn kill(&mut self) {
        let group = format!("-{}", self.child.id());
        // Its children hold the pipes; most often they are gone already, which is no news.
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
