//! Containers of Azure Blob Storage.
//!
//! Beside `object_store`, with requests of our own: listings, which pass over names that it fails on; deletions, which it
//! sends as batches that hide what went wrong; and links, which it cannot have answered with a content type.

use std::{fmt, sync::Arc};

use ::object_store::{
    Attributes, ObjectStore,
    azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder},
    client::HttpRequest,
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, Method};
use ring::hmac;
use tokio_util::task::TaskTracker;
use url::Url;

use self::link::Signature;
use super::{
    cloud::{
        self, Wire,
        link::Decision,
        list, probe,
        request::{Call, Signs, send},
        transport::Source,
    },
    object_store::{
        ObjectStoreDatastore,
        error::{Place, classify},
        extension::{Extension, Tried},
    },
};
use crate::{
    datastore::{BlobStat, BlobWriter, DatastoreError, LinkRequest},
    types::{BlobKey, Timestamp},
};

mod link;
mod page;

pub use super::cloud::{Links, Network, Presign, Secret};

/// A container of Azure Blob Storage. [`AzureOptions::new`] fills in what most of them need.
///
/// Objects lie at the root of the container, each under its [`BlobKey`] as it is. Azure drops the
/// blocks of unfinished uploads by itself after a week, and lists them nowhere, so
/// [`remove_unfinished`](crate::datastore::Datastore::remove_unfinished) answers 0.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    /// Name of the storage account.
    pub account: String,
    /// The container, which must exist.
    pub container: String,
    /// One of the account's two access keys, in base64.
    pub access_key: Secret,
    /// Host or URL of the account's blob service, if it is not `https://ACCOUNT.blob.core.windows.net`. An emulator has the
    /// account in its path: `http://127.0.0.1:10000/devstoreaccount1`.
    pub endpoint: Option<String>,
    /// Length of a block in bytes, also the length up to which an object is buffered and put whole.
    pub part_bytes: usize,
    /// Blocks that one upload has on their way at a time. It holds one more in memory.
    pub parts_in_flight: usize,
    /// Addresses of objects for clients. None by default.
    pub links: Links,
    /// Patience and trust.
    pub network: Network,
}

impl AzureOptions {
    /// A container with uploads in blocks and no links; the rest can be set afterwards.
    pub fn new(account: impl Into<String>, container: impl Into<String>, access_key: Secret) -> Self {
        Self {
            account: account.into(),
            container: container.into(),
            access_key,
            endpoint: None,
            part_bytes: ObjectStoreDatastore::REMOTE_PART_BYTES,
            parts_in_flight: 2,
            links: Links::default(),
            network: Network::default(),
        }
    }
}

/// What a container can do beyond `ObjectStore`.
struct Azure {
    store: Arc<MicrosoftAzure>,
    wire: Wire,
    account: String,
    container: String,
    credential: AzureCredential,
    signing_key: hmac::Key,
    container_url: String,
    // The same, as clients see it.
    link_url: String,
    links: Links,
}

impl ObjectStoreDatastore {
    /// Keeps objects in a container of Azure Blob Storage. Nothing is asked of it before the first call; [`Self::probe`]
    /// tries it.
    ///
    /// Errors: [`DatastoreError::Other`] for options that make no sense.
    pub fn azure(options: AzureOptions) -> Result<Self, DatastoreError> {
        let (part_bytes, parts_in_flight) = (options.part_bytes, options.parts_in_flight);
        let azure = Azure::new(options).map_err(classify)?;
        let this = Self::extended(Arc::clone(&azure.store) as Arc<dyn ObjectStore>, Arc::new(azure));
        Ok(this.with_part_bytes(part_bytes).with_parts_in_flight(parts_in_flight))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("access_key (not shown) is not in base64")]
struct NoKey;

impl Azure {
    fn new(options: AzureOptions) -> Result<Self, Source> {
        let AzureOptions { account, container, access_key, endpoint, links, network, .. } = options;
        cloud::check_name(&account, "account")?;
        cloud::check_name(&container, "container")?;
        links.check()?;
        let wire = Wire::new(&format!("container {container} of Azure account {account}"), network)?;
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        let service = service_url(&endpoint, "endpoint")?;
        let link_service = match links.endpoint() {
            Some(endpoint) => service_url(endpoint, "presign.endpoint")?,
            None => service.clone(),
        };
        let key = BASE64_STANDARD.decode(access_key.reveal()).map_err(|_| NoKey)?;
        let store = MicrosoftAzureBuilder::new()
            .with_http_connector(wire.transport.clone())
            .with_account(&account)
            .with_container_name(&container)
            .with_access_key(access_key.reveal())
            .with_endpoint(service.clone())
            .with_retry(wire.retry_config())
            .build()?;
        Ok(Self {
            store: Arc::new(store),
            wire,
            credential: AzureCredential::AccessKey(AzureAccessKey::try_new(access_key.reveal())?),
            signing_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            container_url: format!("{service}/{container}"),
            link_url: format!("{link_service}/{container}"),
            account,
            container,
            links,
        })
    }

    fn failed(&self, error: impl Into<Source>) -> DatastoreError {
        self.wire.place.classify(error)
    }
}

/// The URL of the account without a slash at the end.
fn service_url(endpoint: &str, option: &'static str) -> Result<String, cloud::Invalid> {
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    Ok(cloud::parse(&text, option)?.as_str().trim_end_matches('/').to_owned())
}

#[async_trait]
impl Extension for Azure {
    fn place(&self) -> Place {
        self.wire.place.clone()
    }

    fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    fn writer(self: Arc<Self>, _: &BlobKey, _: &TaskTracker) -> Option<Box<dyn BlobWriter>> {
        None
    }

    fn list(
        self: Arc<Self>,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        list::objects(&self, prefix, |azure, prefix, token| Box::pin(page::page(azure, prefix, token)))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        // A blob with snapshots is not deleted without them.
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-ms-delete-snapshots"),
            HeaderValue::from_static("include"),
        )]);
        let call = Call { method: Method::DELETE, key: Some(key.as_str()), query: &[], headers, body: None };
        match send(self, &call).await {
            Ok(_) | Err(DatastoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        let ttl = match self.links.decide(key, request).map_err(|error| self.failed(error))? {
            Decision::None => return Ok(None),
            Decision::Public(url) => return Ok(Some(url)),
            Decision::Sign(ttl) => ttl,
        };
        let LinkRequest { content_type, content_disposition, .. } = *request;
        let signature = Signature { key, ttl, content_type, content_disposition };
        self.signed(&self.link_url, &signature).map(Some).map_err(|error| self.failed(error))
    }

    /// Blocks that nobody lists are gone after a week.
    async fn remove_unfinished(&self, _: Timestamp) -> Result<u64, DatastoreError> {
        Ok(0)
    }

    async fn try_links(&self, key: &BlobKey, expected: &Bytes) -> Vec<Tried> {
        let (ttl, content_type) = (probe::TTL, probe::CONTENT_TYPE);
        let signature = Signature { key, ttl, content_type, content_disposition: None };
        let signed = self.signed(&self.container_url, &signature);
        probe::try_links(&self.wire, signed, "sig", expected).await
    }
}

#[async_trait]
impl Signs for Azure {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn bucket_url(&self) -> &str {
        &self.container_url
    }

    async fn sign(&self, _: &Call<'_>, request: &mut HttpRequest) -> Result<(), Source> {
        Ok(AzureAuthorizer::new(&self.credential, &self.account).try_authorize(request)?)
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure").field("container_url", &self.container_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> AzureOptions {
        AzureOptions::new("account", "media", Secret::new("aHVudGVyMg=="))
    }

    #[test]
    fn an_account_is_at_its_own_name_or_where_it_is_said_to_be() {
        let url = |endpoint: Option<&str>| {
            let options = AzureOptions { endpoint: endpoint.map(str::to_owned), ..options() };
            Azure::new(options).unwrap().container_url
        };
        assert_eq!(url(None), "https://account.blob.core.windows.net/media");
        assert_eq!(
            url(Some("account.blob.core.chinacloudapi.cn")),
            "https://account.blob.core.chinacloudapi.cn/media"
        );
        assert_eq!(url(Some("http://127.0.0.1:1/account/")), "http://127.0.0.1:1/account/media");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for options in [
            AzureOptions { account: String::new(), ..options() },
            AzureOptions { container: "a/b".to_owned(), ..options() },
            AzureOptions { endpoint: Some("https://user:secret@h".to_owned()), ..options() },
        ] {
            assert!(ObjectStoreDatastore::azure(options.clone()).is_err(), "{options:?}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_shown() {
        let options = AzureOptions { access_key: Secret::new("hunter2!"), ..options() };
        let error = ObjectStoreDatastore::azure(options).unwrap_err();
        let text = format!("{error:?} {}", super::super::object_store::probe::explain(&error));
        assert!(text.contains("access_key") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = format!("{:?} {:?}", options(), ObjectStoreDatastore::azure(options()).unwrap());
        assert!(!text.contains("aHVudGVyMg") && !text.contains("hunter2"), "{text}");
    }
}
