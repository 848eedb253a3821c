//! Addresses that clients can fetch objects from.

use ::object_store::{path::Path, signer::Signer as _};
use http::Method;
use url::Url;

use super::{S3, S3Encryption};
use crate::{
    backend::{
        cloud::{link::Decision, transport::Source},
        dialect,
    },
    datastore::{DatastoreError, LinkRequest},
    types::BlobKey,
};

impl S3 {
    pub(super) async fn link_to(
        &self,
        key: &BlobKey,
        request: &LinkRequest<'_>,
    ) -> Result<Option<Url>, DatastoreError> {
        // A client would need the key, too.
        if matches!(self.encryption, S3Encryption::Customer(_)) {
            return Ok(None);
        }
        let failed = |error: Source| self.wire.place.classify(error);
        let ttl = match self.links.decide(key, request).map_err(|error| failed(error.into()))? {
            Decision::None => return Ok(None),
            Decision::Public(url) => return Ok(Some(url)),
            Decision::Sign(ttl) => ttl,
        };
        let Some(signer) = &self.signer else { return Ok(None) };
        let options = dialect::answered_as(request);
        let url = signer.signed_url_opts(Method::GET, &Path::from(key.as_str()), ttl, &options).await;
        url.map(Some).map_err(|error| failed(error.into()))
    }
}
