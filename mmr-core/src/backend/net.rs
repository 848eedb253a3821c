//! [`Federation`](crate::federation::Federation) over HTTPS.
//!
//! Whatever is connected to was checked first: every connection, also of a redirect or of a server's discovery, goes
//! through [`EgressPolicy`], and the address that was checked is the address that is connected to.

#[cfg_attr(not(test), expect(dead_code, reason = "federation and previews, which use it, are yet to come"))]
mod client;
mod connect;
mod dial;
mod discovery;
mod error;
mod guard;
mod options;
mod pool;
mod resolve;
mod tls;
mod transport;
mod wellknown;

pub use self::{
    discovery::{Destination, Step, Target},
    error::NetError,
    guard::{EgressPolicy, Refused},
    options::NetOptions,
};

#[cfg(test)]
mod tests;
