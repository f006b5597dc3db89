//! What Pollux is measured with: a simulator of its vendors, and a kit that drives a real gateway process.
//!
//! The simulator knows the vendors' wire formats and nothing of Pollux; it is built from recorded facts, so
//! that a mistake of the gateway meets a ruler and not a mirror. The kit knows Pollux only from outside: its
//! command line, its configuration file, its HTTP surface and its log. The conformance suite knows the contract
//! alone and holds any provider against it.

#![recursion_limit = "256"]

pub mod conformance;
pub mod frames;
pub mod kit;
pub mod simulator;
