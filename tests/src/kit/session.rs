//! A command of the program that a person sits in front of.

use std::io::{self, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::Log;

/// A command that runs, killed when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    /// What it printed on stdout and stderr.
    pub log: Log,
}

impl Session {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let log = Log::default();
        if let Some(pipe) = child.stdout.take() {
            log.follow(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            log.follow(pipe);
        }
        let input = child.stdin.take();
        Ok(Self { child, input, log })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Err(io::Error::other("its input is closed")) };
        input.write_all(format!("{line}\n").as_bytes())
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end: its exit code, or nothing where the limit came first.
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                // Its last lines may still be on their way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
