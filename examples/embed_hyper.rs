//! The media routes inside somebody else's hyper server, with somebody else's users.
//!
//! ```text
//! cargo run --release -p mmr-examples --example embed_hyper
//! curl -H 'Authorization: Bearer secret' --data-binary @cat.png http://127.0.0.1:8009/_matrix/media/v3/upload
//! ```

use std::{convert::Infallible, sync::Arc};

use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mmr_core::{
    MediaRepository,
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    datastore::Datastores,
    lifecycle::Background,
    policy::{Policies, ServerPolicy},
    stream::StreamError,
    types::{Caller, DatastoreId},
};
use mmr_server::{
    MediaService,
    auth::{AuthError, Authenticator, Credentials},
    service::Tenant,
};
use ruma::{OwnedServerName, ServerName, owned_user_id};

type AnyBody = UnsyncBoxBody<bytes::Bytes, StreamError>;

/// A homeserver would look into its own table of access tokens.
#[derive(Debug)]
struct OurUsers;

#[async_trait]
impl Authenticator for OurUsers {
    async fn authenticate(&self, _: &ServerName, credentials: &Credentials) -> Result<Caller, AuthError> {
        match &*credentials.token {
            "secret" => Ok(Caller::User { id: owned_user_id!("@alice:example.org"), guest: false }),
            _ => Err(AuthError::unknown_token()),
        }
    }
}

/// Everything that is not about media is the host's own business.
async fn route(media: MediaService, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    if MediaService::handles(request.uri().path()) {
        return Ok(media.respond(request).await.map(BodyExt::boxed_unsync));
    }
    let body = Full::from("{\"errcode\":\"M_UNRECOGNIZED\",\"error\":\"not about media\"}");
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server_name: OwnedServerName = "example.org".try_into()?;
    let datastore = Arc::new(ObjectStoreDatastore::in_memory());
    let repository = MediaRepository::builder(
        Arc::new(MemoryStore::new()),
        Datastores::single(DatastoreId::parse("main")?, datastore),
        Policies::single(server_name.clone(), ServerPolicy::default()),
    )
    .build();
    let media = MediaService::builder(Arc::new(repository))
        .tenant(Tenant::new(server_name, Arc::new(OurUsers)))
        .build();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
    let connections = Background::new();
    println!("media at http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let media = media.clone();
        let service = service_fn(move |request| route(media.clone(), request));
        connections.spawn(async move {
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
