//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

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
