//! The lines a process prints, as it prints them.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Collects lines from any number of pipes.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

/// Pipes outlive the program only where somebody it left behind holds them.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Log {
    /// Follows a pipe to its end, on a thread of its own.
    pub(super) fn follow(&self, pipe: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                line.clear();
            }
        });
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines contain this.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Whether any line contains this.
    pub fn contains(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// Waits for a line that contains this, and tells whether it came in time.
    pub async fn wait_for(&self, text: &str, limit: Duration) -> bool {
        super::wait_until(|| std::future::ready(self.contains(text)), limit).await
    }

    /// All of it, once every pipe has come to its end.
    pub(super) async fn whole(&self) -> String {
        // Each pipe's thread holds a clone.
        super::wait_until(|| std::future::ready(Arc::strong_count(&self.0) == 1), LAST_WORDS).await;
        self.text()
    }

    /// All of it, for a message.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }
}
