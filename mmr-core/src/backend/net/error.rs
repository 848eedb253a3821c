//! Why nothing came over the network.

use std::{error::Error, io, time::Duration};

use super::guard::Refused;

/// Why a server or a page could not be asked.
///
/// An answer is not an error, whatever its status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The egress policy does not let us connect there.
    #[error("{host} may not be connected to: {refused}")]
    Refused {
        /// The host in question.
        host: String,
        /// The address that it has.
        refused: Refused,
    },
    /// DNS says that the name does not exist, or that it has no address.
    #[error("{name} has no address in DNS")]
    NoSuchName {
        /// The name that was asked for.
        name: String,
    },
    /// The name servers did not answer, or answered with an error.
    #[error(
        "DNS gave no answer about {name}; the name servers are the system's or those of egress.nameservers"
    )]
    Dns {
        /// The name that was asked for.
        name: String,
        /// What the resolver says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server says in DNS that it does not federate: an SRV record with the target `.`.
    #[error("{name} says in its SRV record that it offers no Matrix federation")]
    Disabled {
        /// The name that the record is about.
        name: String,
    },
    /// No TCP connection.
    #[error("no connection to {host} port {port}")]
    Connect {
        /// The host in question.
        host: String,
        /// The TCP port.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// The other side does not speak TLS, or has no certificate that we trust.
    #[error("no trusted TLS connection to {name}; further roots can be trusted with federation.caFile")]
    Tls {
        /// The name that the certificate has to be for.
        name: String,
        /// What the handshake ended with.
        source: io::Error,
    },
    /// It took too long.
    #[error("{host} did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// Who was waited for.
        host: String,
        /// How long.
        limit: Duration,
    },
    /// The connection broke before the head of the response, or what came is not HTTP.
    #[error("{host} gave no valid HTTP response")]
    Http {
        /// Who was asked.
        host: String,
        /// What the HTTP implementation says.
        source: hyper::Error,
    },
    /// Not something that can be asked for.
    #[error("{url:?} cannot be asked for: {reason}")]
    InvalidUrl {
        /// The URL or request target.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting that cannot work.
    #[error("{key} cannot be {value:?}: {reason}")]
    InvalidSetting {
        /// The setting.
        key: &'static str,
        /// What it is.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The resolver or TLS cannot be set up on this machine.
    #[error("{what} cannot be set up")]
    Setup {
        /// What is missing.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}
