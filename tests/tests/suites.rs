//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

#![expect(clippy::unwrap_used, reason = "all of this is tests; clippy sees only the functions marked so")]

mod suites {
    mod auth;
    mod bodies;
    mod endpoints;
    mod errors;
    mod logs;
    mod rotation;
    mod shutdown;
    mod smoke;
    mod sticky;
    mod streams;
}
