//! What every provider promises the host, as named checks that any linked provider can be held against.
//!
//! Nothing leaves the process: a provider is driven by its own samples (`providers/README.md` has their format)
//! and by a scripted outside world. No check knows a provider by name.
//!
//! ```no_run
//! for registration in pollux_sdk::linked()?.values() {
//!     let report = pollux_tests::conformance::check(registration);
//!     assert!(report.is_clean(), "{report}");
//! }
//! # Ok::<(), pollux_sdk::RegistryError>(())
//! ```

/// Ends a check with an explanation unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

mod about;
mod account;
mod damage;
mod grant;
mod reply;
mod request;
mod samples;
mod script;
mod subject;
mod verdict;

use pollux_sdk::Registration;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};
use subject::Subject;

/// What a check says: nothing, or what is wrong and where.
type Finding = Result<(), String>;
type Check = (&'static str, fn(&Subject) -> Finding);

/// Without these three there is nothing to check further.
const FIRST: [&str; 3] = [
    "its samples are readable",
    "it builds from its sample configuration",
    "its first sample file and account make a credential",
];

/// Holds a provider against every check.
pub fn check(registration: &Registration) -> Report {
    let mut report =
        Report { provider: registration.id, passed: Vec::new(), failed: Vec::new(), not_run: Vec::new() };
    let subject = match Subject::open(registration) {
        Ok(subject) => subject,
        Err((step, text)) => {
            report.failed.push((FIRST[step], text));
            report.not_run = all().into_iter().filter(|name| *name != FIRST[step]).collect();
            return report;
        }
    };
    report.passed.extend(FIRST);
    for (name, run) in checks() {
        match guarded(|| run(&subject)) {
            Ok(()) => report.passed.push(name),
            Err(text) => report.failed.push((name, text)),
        }
    }
    report
}

/// The names of all checks.
pub fn all() -> Vec<&'static str> {
    FIRST.into_iter().chain(checks().map(|(name, _)| name)).collect()
}

fn checks() -> impl Iterator<Item = Check> {
    let groups =
        [about::CHECKS, account::CHECKS, grant::CHECKS, request::CHECKS, reply::CHECKS, verdict::CHECKS];
    groups.into_iter().flatten().copied()
}

/// What came of a provider.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its id.
    pub provider: &'static str,
    /// Checks it passed.
    pub passed: Vec<&'static str>,
    /// Checks it failed, and why.
    pub failed: Vec<(&'static str, String)>,
    /// Checks that an earlier failure made impossible.
    pub not_run: Vec<&'static str>,
}

impl Report {
    /// Whether every check passed.
    pub const fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.not_run.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed) = (self.passed.len(), self.failed.len());
        write!(
            f,
            "{}: {passed} checks passed, {failed} failed, {} not run",
            self.provider,
            self.not_run.len()
        )?;
        for (check, text) in &self.failed {
            write!(f, "\n  not so: {check}\n    {text}")?;
        }
        Ok(())
    }
}

/// A panic is a finding like any other: in a gateway it would end a client's request.
fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("it panics: {text}"))
    })
}
