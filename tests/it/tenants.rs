//! Several homeservers on one server: the host selects.

use std::sync::Arc;

use http::Request;
use http_body_util::Empty;
use mmr_core::{
    MediaRepository,
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    datastore::Datastores,
    policy::{Policies, ServerPolicy},
    types::DatastoreId,
};
use mmr_server::{MediaService, auth::Homeserver, service::Tenant};
use ruma::OwnedServerName;

fn service(use_forwarded_host: bool) -> MediaService {
    let names: Vec<OwnedServerName> =
        ["one.org", "two.org:8448", "[::1]:80"].map(|name| name.try_into().expect("a server name")).into();
    let id = DatastoreId::parse("test").expect("a datastore id");
    let repository = MediaRepository::builder(
        Arc::new(MemoryStore::new()),
        Datastores::single(id, Arc::new(ObjectStoreDatastore::in_memory())),
        Policies::new(names.iter().map(|name| (name.clone(), ServerPolicy::default()))),
    )
    .build();
    let nobody = Arc::new(
        Homeserver::new("http://127.0.0.1:1", std::time::Duration::from_secs(1)).expect("a base URL"),
    );
    let builder = MediaService::builder(Arc::new(repository)).use_forwarded_host(use_forwarded_host);
    names
        .into_iter()
        .fold(builder, |builder, name| builder.tenant(Tenant::new(name, Arc::<Homeserver>::clone(&nobody))))
        .build()
}

/// 401 says that a homeserver was found, which then missed a token.
async fn status(service: &MediaService, headers: &[(&str, &str)]) -> u16 {
    let request = Request::builder().uri("/_matrix/client/v1/media/config");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("a valid request");
    service.respond(request).await.status().as_u16()
}

#[tokio::test]
async fn a_homeserver_is_selected_with_or_without_its_port_in_any_case() {
    let service = service(false);
    for host in ["one.org", "ONE.org", "one.org:443", "two.org:8448", "[::1]:80"] {
        assert_eq!(status(&service, &[("Host", host)]).await, 401, "{host}");
    }
}

#[tokio::test]
async fn a_host_that_is_no_homeserver_is_misdirected() {
    let service = service(false);
    for host in ["other.org", "two.org", "two.org:1", "[::1]", ""] {
        assert_eq!(status(&service, &[("Host", host)]).await, 421, "{host}");
    }
    assert_eq!(status(&service, &[]).await, 421);
}

#[tokio::test]
async fn a_forwarded_host_selects_only_where_it_is_trusted() {
    let headers = [("Host", "proxy.internal"), ("X-Forwarded-Host", "one.org")];
    assert_eq!(status(&service(true), &headers).await, 401);
    assert_eq!(status(&service(false), &headers).await, 421);
}
