//! Outsider.
