//! What the stores of clouds have in common: one transport, what errors mean, listings, links.
//!
//! `object_store` does what it can over our transport. Requests that it has no way to make are signed by each store, see
//! `Signs`, and sent from here.

use std::{error::Error, time::Duration};

use ::object_store::{
    BackoffConfig, RetryConfig,
    client::{HttpError, HttpErrorKind},
};
use url::Url;

use self::transport::{Meaning, Refusal, Source, Transport};
use super::object_store::error::{Kind, Place};
use crate::datastore::DatastoreError;

pub(super) mod link;
pub(super) mod list;
mod options;
pub(super) mod probe;
pub(super) mod request;
pub(super) mod transport;

pub use self::options::{Links, Network, Presign, Secret};

/// The way to one store.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) transport: Transport,
    pub(super) network: Network,
    pub(super) place: Place,
}

impl Wire {
    /// `name` says which store it is when something fails.
    pub(super) fn new(name: &str, network: Network) -> Result<Self, Source> {
        Ok(Self { transport: Transport::new(&network)?, network, place: Place::new(name, kind_of) })
    }

    /// How often `object_store` tries again.
    pub(super) fn retry_config(&self) -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
        let Network { max_retries, retry_timeout, .. } = self.network;
        RetryConfig { backoff, max_retries, retry_timeout }
    }
}

/// What an error of ours or of our transport means.
fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return match refusal.meaning() {
            Meaning::Denied => Some(DatastoreError::Denied),
            Meaning::Full => Some(DatastoreError::Full),
            Meaning::Unavailable => Some(DatastoreError::Unavailable),
            Meaning::Other => Some(DatastoreError::Other),
        };
    }
    let error = error.downcast_ref::<HttpError>()?;
    // What the store said decides. Without that, nothing was said.
    let said = error.source().and_then(|source| source.downcast_ref::<Refusal>()).is_some();
    let broke = !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
    (broke && !said).then_some(DatastoreError::Unavailable as Kind)
}

/// An endpoint, the name of a bucket and the like make no sense.
#[derive(Debug, thiserror::Error)]
#[error("{option} {value:?} {reason}")]
pub(super) struct Invalid {
    pub(super) option: &'static str,
    pub(super) value: String,
    pub(super) reason: &'static str,
}

/// The URL of an option, which is a host and perhaps a path.
pub(super) fn parse(text: &str, option: &'static str) -> Result<Url, Invalid> {
    let invalid = |reason| Invalid { option, value: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|_| invalid("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("is no http or https URL"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(invalid("holds more than a host and a path"));
    }
    Ok(url)
}

/// `name` as that of a bucket, which goes into paths as it is.
pub(super) fn check_name(name: &str, option: &'static str) -> Result<(), Invalid> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // Dots alone would lead elsewhere.
    if name.chars().all(fits) && name.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Invalid { option, value: name.to_owned(), reason: "is no name of a bucket" })
}
