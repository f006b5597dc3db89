//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

mod suites {
    mod enrolment;
    mod ingestion;
    mod login;
    mod owner;
    mod smoke;
    mod visitor;
}
