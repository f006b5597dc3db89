use std::fmt;

/// One key that is wrong, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A file, or `environment variable NAME`.
    pub place: String,
    /// The section's dotted name; empty for the place as a whole.
    pub section: String,
    /// The key; empty for the section as a whole.
    pub key: String,
    /// What is wrong and what was expected. Never a secret's value.
    pub message: String,
}

impl Problem {
    pub(super) fn new(place: &str, section: &str, key: &str, message: impl Into<String>) -> Self {
        Self { place: place.into(), section: section.into(), key: key.into(), message: message.into() }
    }
    pub(super) fn of_place(place: &str, message: impl Into<String>) -> Self {
        Self::new(place, "", "", message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.section.is_empty() {
            write!(f, "[{}] ", self.section)?;
        }
        if self.key.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// The configuration cannot be used; the process ends with code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Everything that is wrong, at least one entry.
    pub problems: Vec<Problem>,
}

impl From<Problem> for SettingsError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}
