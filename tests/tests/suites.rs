//! The suites: a real gateway process, simulated vendors, HTTP in between. One binary, so that linking stays fast.

#![allow(clippy::unwrap_used, reason = "tests may, and so may what they share")]

mod suites {
    mod approval;
    mod auth;
    mod bodies;
    mod browser;
    mod claude;
    mod clients;
    mod code_assist;
    mod command_line;
    mod conformance;
    mod crash;
    mod defects;
    mod endpoints;
    mod enrolment;
    mod errors;
    mod files;
    mod files_command;
    mod files_tokens;
    mod gemini_keys;
    mod ingestion;
    mod legacy;
    mod legacy_database;
    mod legacy_groups;
    mod limits;
    mod local;
    mod login;
    mod login_cli;
    mod logs;
    mod operator;
    mod operator_tools;
    mod owner;
    mod quota;
    mod refresh;
    mod rotation;
    mod settings;
    mod shutdown;
    mod side_calls;
    mod smoke;
    mod sockets;
    mod sockets_down;
    mod sticky;
    mod storage;
    mod streams;
    mod surfaces;
    mod usage;
    mod usage_dialects;
    mod usage_durable;
    mod usage_report;
    mod visitor;
}
