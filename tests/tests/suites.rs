//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

#![expect(clippy::unwrap_used, reason = "all of this is tests; clippy sees only the functions marked so")]

mod suites {
    mod approval;
    mod browser;
    mod command_line;
    mod crash;
    mod enrolment;
    mod ingestion;
    mod login;
    mod owner;
    mod refresh;
    mod settings;
    mod smoke;
    mod storage;
    mod visitor;
}
