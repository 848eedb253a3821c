//! A media repository inside a program: SQLite and a directory; upload, read back a range, make a thumbnail.
//!
//! ```text
//! cargo run --release -p mmr-examples --example embed -- /tmp/mmr-embed
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use mmr_core::{
    MediaRepository,
    backend::{
        object_store::{DirectoryOptions, ObjectStoreDatastore},
        sqlite::{SqliteOptions, SqliteStore},
    },
    datastore::Datastores,
    download::DownloadRequest,
    policy::{Policies, ServerPolicy},
    testing::images,
    types::{Caller, ContentType, DatastoreId, FileName, Method, RangeRequest, ThumbnailRequest},
    upload::UploadRequest,
};
use ruma::{OwnedServerName, owned_user_id};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("usage: embed DIRECTORY")?);
    std::fs::create_dir_all(&directory)?;

    // Where metadata and bytes live, and the rules of the one homeserver.
    let store = Arc::new(SqliteStore::open(&directory.join("mmr.db"), SqliteOptions::default())?);
    let datastore = ObjectStoreDatastore::directory(directory.join("media"), DirectoryOptions::default())?;
    let server: OwnedServerName = "example.org".try_into()?;
    let repository = MediaRepository::builder(
        store,
        Datastores::single(DatastoreId::parse("main")?, Arc::new(datastore)),
        Policies::single(server.clone(), ServerPolicy::default()),
    )
    .build();

    // Upload. The bytes are on disk when this returns.
    let alice = owned_user_id!("@alice:example.org");
    let picture: Bytes = images::png(1200, 800);
    let upload = UploadRequest {
        by: alice.clone(),
        server: server.clone(),
        content_type: ContentType::new("image/png"),
        file_name: FileName::new("picture.png"),
        declared_len: Some(picture.len() as u64),
    };
    let mxc = repository.uploads().upload(upload, picture.clone().into()).await?;
    println!("uploaded {} bytes as {mxc}", picture.len());

    // Read back a range.
    let caller = Caller::User { id: alice, guest: false };
    let request = DownloadRequest { mxc, caller, server, wait: Duration::ZERO, remote: true };
    let download = repository.downloads().open(&request, RangeRequest::parse("bytes=0-7")).await?;
    let head = download.body.collect_up_to(8).await?;
    println!("it is {} and begins with {head:?}", download.record.content_type);
    assert_eq!(head, picture.slice(..8));

    // Make a thumbnail.
    let wanted =
        ThumbnailRequest { width: 320, height: 240, method: Method::Scale, animated: None, webp: false };
    let thumbnail = repository.thumbnails().open(&request, &wanted).await?;
    let (width, height, size) = (thumbnail.record.width, thumbnail.record.height, thumbnail.record.blob.size);
    println!("its thumbnail has {width}x{height} pixels in {size} bytes");

    repository.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
