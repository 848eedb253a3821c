//! [`Federation`](crate::federation::Federation) over HTTPS.
//!
//! Whatever is connected to was checked first: every connection, also of a redirect or of a server's discovery, goes
//! through [`EgressPolicy`], and the address that was checked is the address that is connected to.

mod authenticate;
mod body;
mod client;
mod connect;
mod dial;
mod discovery;
mod encoding;
mod error;
mod federation;
pub(crate) mod fetch;
mod guard;
mod keys;
mod length;
pub(crate) mod mixed;
mod options;
mod pool;
mod resolve;
mod signing;
mod tls;
mod transport;
pub(crate) mod wellknown;
mod xmatrix;

pub use self::{
    authenticate::{Authenticator, Signer},
    discovery::{Destination, Step, Target},
    error::NetError,
    federation::NetFederation,
    guard::{EgressPolicy, Refused},
    keys::{KeyFetcher, RemoteKeys},
    options::NetOptions,
    signing::{InvalidKeyFile, KeyFormat, SigningKey, SigningKeys},
    xmatrix::{InvalidXMatrix, XMatrix},
};

#[cfg(test)]
mod tests;
