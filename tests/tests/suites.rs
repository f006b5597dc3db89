//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, with the line")]

mod suites {
    mod approval;
    mod auth;
    mod bodies;
    mod clients;
    mod command_line;
    mod conformance;
    mod crash;
    mod defects;
    mod endpoints;
    mod enrolment;
    mod errors;
    mod ingestion;
    mod login;
    mod operator;
    mod owner;
    mod quota;
    mod refresh;
    mod rotation;
    mod settings;
    mod smoke;
    mod storage;
    mod visitor;
}
