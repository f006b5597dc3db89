//! What became of each file.

use serde::Serialize;

/// What became of the files that were looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Each of them, by path.
    pub files: Vec<Line>,
    /// Folders that cannot be read, and entries that are no credential files.
    pub skipped: Vec<Skipped>,
}

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Which.
    pub path: String,
    /// What happened.
    pub outcome: Outcome,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'static str>,
    /// Its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<i64>,
    /// How the account is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it was refused, or what is odd about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is not read.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What happened to a file, or because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new.
    Joined,
    /// It changed.
    Updated,
    /// It says nothing new.
    Unchanged,
    /// It had older tokens than the store and was brought up to date.
    Repaired,
    /// It is gone, and its account with it unless that has another home.
    Left,
    /// It says nothing new, and its account was removed.
    Removed,
    /// It cannot be used. What it held before serves on.
    Refused,
}

impl Report {
    /// How many had one outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.files.iter().filter(|line| line.outcome == outcome).count()
    }
}

impl Line {
    /// A file that cannot be used.
    pub fn refused(path: String, reason: String) -> Self {
        Self::of(path, Outcome::Refused).because(Some(reason))
    }

    /// A file of which no more is known.
    pub fn of(path: String, outcome: Outcome) -> Self {
        Self { path, outcome, provider: None, account: None, state: None, reason: None }
    }

    pub(super) fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}
