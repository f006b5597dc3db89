//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

mod suites {
    mod operator;
    mod quota;
    mod smoke;
}
