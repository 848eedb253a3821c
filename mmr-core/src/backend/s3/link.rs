//! Addresses that clients can fetch objects from.

use ::object_store::{
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use http::Method;
use url::Url;

use super::{S3, S3Encryption};
use crate::{
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
        if let Some(base) = &self.links.public_base_url {
            return Url::parse(&format!("{base}{key}")).map(Some).map_err(|error| self.place.classify(error));
        }
        let (Some(signer), Some(presign)) = (&self.signer, &self.links.presign) else { return Ok(None) };
        if request.len < presign.min_bytes {
            return Ok(None);
        }
        let disposition = request.content_disposition.map(|value| ("response-content-disposition", value));
        let query = [("response-content-type", request.content_type)].into_iter().chain(disposition);
        let options = SignedUrlOptions::new().with_query(query);
        let ttl = request.ttl.min(presign.max_ttl);
        let url = signer.signed_url_opts(Method::GET, &Path::from(key.as_str()), ttl, &options).await;
        url.map(Some).map_err(|error| self.place.classify(error))
    }
}
