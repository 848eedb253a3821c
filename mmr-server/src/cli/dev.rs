//! `mmr-server dev`: a whole repository with nothing to set up.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use mmr_core::{
    MediaRepository,
    backend::{
        object_store::{DirectoryOptions, ObjectStoreDatastore},
        sqlite::{SqliteOptions, SqliteStore},
    },
    datastore::Datastores,
    policy::{Policies, ServerPolicy},
    types::{Caller, ContentType, DatastoreId, FileName, MediaId, Mxc},
    upload::UploadRequest,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, owned_server_name, owned_user_id};

use super::serve::{runtime, shutdown_signal};
use crate::{
    auth::{AuthError, Authenticator, Credentials},
    config::{self, cached},
    server::{HttpLimits, Server, Workers, listen},
    service::{MediaService, Tenant},
    telemetry,
};

/// Memory for hot media in bytes.
const CACHE_BYTES: u64 = 64 << 20;

/// Options of `mmr-server dev`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where to keep the database and the media. Default: mmr in the user's data directory.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let data = match &options.data {
        Some(data) => data.clone(),
        None => config::data_directory().context("no home directory is known; give one with --data")?,
    };
    telemetry::init_dev();
    runtime()?.block_on(serve_dev(&data, options.port))
}

async fn serve_dev(data: &Path, port: u16) -> anyhow::Result<ExitCode> {
    let server = owned_server_name!("localhost");
    let user = owned_user_id!("@dev:localhost");
    let repository = Arc::new(open(data, &server)?);
    let sample = sample_picture();
    let sample_file = data.join("sample.png");
    std::fs::write(&sample_file, &sample)
        .with_context(|| format!("{} cannot be written", sample_file.display()))?;
    let mxc = upload_sample(&repository, &user, &server, sample).await?;

    let token = format!("dev_{}", MediaId::generate());
    let authenticator = Arc::new(OneUser { token: token.clone(), user });
    let mut tenant = Tenant::new(server, authenticator);
    tenant.reported_max_bytes = Some(100 << 20);
    let service = MediaService::builder(Arc::clone(&repository)).tenant(tenant).build();
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let listener =
        listen(address).with_context(|| format!("{address} cannot be listened on; try --port 0"))?;
    let base = format!("http://{}", listener.local_addr()?);
    print!("{}", greeting(&base, &token, data, &sample_file, &mxc));

    let limits = HttpLimits { shutdown_grace: Duration::from_secs(2), ..HttpLimits::default() };
    let workers = Workers::start_for_processors().context("the threads for connections cannot be started")?;
    let server = Server::new(service, limits).on(workers);
    server.serve(listener, shutdown_signal()).await;
    repository.shutdown(Duration::from_secs(2)).await;
    drop(server);
    Ok(ExitCode::SUCCESS)
}

fn open(data: &Path, server: &OwnedServerName) -> anyhow::Result<MediaRepository> {
    std::fs::create_dir_all(data).with_context(|| format!("{} cannot be created", data.display()))?;
    let database = data.join("mmr.db");
    let store = SqliteStore::open(&database, SqliteOptions::default())
        .with_context(|| format!("the database {} cannot be opened", database.display()))?;
    let media = data.join("media");
    let datastore = ObjectStoreDatastore::directory(&media, DirectoryOptions::default())
        .with_context(|| format!("the directory {} cannot be used", media.display()))?;
    let id = DatastoreId::parse("dev")?;
    let policies = Policies::single(server.clone(), ServerPolicy::default());
    Ok(MediaRepository::builder(
        Arc::new(store),
        Datastores::single(id, cached(Arc::new(datastore), CACHE_BYTES, false)),
        policies,
    )
    .build())
}

/// Uploading the sample beforehand gives the printed commands a name to download: the same user uploading the same file
/// gets the same name.
async fn upload_sample(
    repository: &MediaRepository,
    user: &OwnedUserId,
    server: &OwnedServerName,
    sample: Bytes,
) -> anyhow::Result<Mxc> {
    let request = UploadRequest {
        by: user.clone(),
        server: server.clone(),
        content_type: ContentType::new("image/png"),
        file_name: FileName::new("sample.png"),
        declared_len: Some(sample.len() as u64),
    };
    repository.uploads().upload(request, sample.into()).await.context("the sample picture cannot be uploaded")
}

/// A colourful 640x480 PNG, the same every time.
fn sample_picture() -> Bytes {
    let pixel = |x: u32, y: u32| {
        let wave = |phase: u32| u8::try_from((x * 2 + y * 3 + phase) % 512 / 2).unwrap_or_default();
        image::Rgb([wave(0), wave(170), wave(340)])
    };
    let mut png = std::io::Cursor::new(Vec::new());
    let written = image::RgbImage::from_fn(640, 480, pixel).write_to(&mut png, image::ImageFormat::Png);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    Bytes::from(png.into_inner())
}

fn greeting(base: &str, token: &str, data: &Path, sample: &Path, mxc: &Mxc) -> String {
    let (sample, path) = (sample.display(), format!("{}/{}", mxc.origin(), mxc.media_id()));
    let mut text = String::new();
    let mut line = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    line(&format!("mmr is at {base}, its data in {}.", data.display()));
    line("");
    line(&format!("token of @dev:localhost, new at each start:  {token}"));
    line("");
    line("Upload, download, thumbnail:");
    line("");
    line(&format!(
        "  curl -sS -H 'Authorization: Bearer {token}' -H 'Content-Type: image/png' --data-binary '@{sample}' \
         '{base}/_matrix/media/v3/upload?filename=sample.png'"
    ));
    line("");
    line(&format!(
        "  curl -sS -H 'Authorization: Bearer {token}' -o downloaded.png \
         '{base}/_matrix/client/v1/media/download/{path}'"
    ));
    line("");
    line(&format!(
        "  curl -sS -H 'Authorization: Bearer {token}' -o thumbnail.png \
         '{base}/_matrix/client/v1/media/thumbnail/{path}?width=96&height=96&method=crop'"
    ));
    line("");
    line("Stop with Ctrl+C.");
    text
}

/// Knows one token.
struct OneUser {
    token: String,
    user: OwnedUserId,
}

impl std::fmt::Debug for OneUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneUser").field("user", &self.user).finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for OneUser {
    async fn authenticate(&self, _: &ServerName, credentials: &Credentials) -> Result<Caller, AuthError> {
        if credentials.token == self.token {
            Ok(Caller::User { id: self.user.clone(), guest: false })
        } else {
            Err(AuthError::unknown_token())
        }
    }
}
