//! [`Federation`](crate::federation::Federation) over HTTPS.

mod authenticate;
mod encoding;
mod keys;
mod signing;
mod xmatrix;

pub use self::{
    authenticate::{Authenticator, Signer},
    keys::{KeyFetcher, RemoteKeys},
    signing::{InvalidKeyFile, KeyFormat, SigningKey, SigningKeys},
    xmatrix::{InvalidXMatrix, XMatrix},
};
