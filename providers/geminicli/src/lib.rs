//! geminicli provider.
