use crate::{routes::Clash, settings::SettingsError, store::StoreError};
use std::net::SocketAddr;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two providers claim one path.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// A proxy that cannot be used.
    #[error("providers.{provider}: proxy cannot be used: {source}")]
    Proxy {
        /// Section.
        provider: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// No client can be made.
    #[error("no connection can be made: {0}")]
    Client(reqwest::Error),
    /// The system refuses something.
    #[error("{0}")]
    Io(std::io::Error),
}

impl StartError {
    /// Whether a person has to change the configuration, which is exit code 2.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Clash(_) | Self::Proxy { .. } | Self::Client(_) => true,
            Self::Store(error) => error.is_configuration(),
            Self::Listen { .. } | Self::Io(_) => false,
        }
    }
}
