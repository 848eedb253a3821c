//! A directory of its own for one source.

use std::{fs, io, path::Path};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
};

use crate::{
    stream::{ByteStream, StreamError},
    thumbnail::RenderError,
};

/// The name of the source in its directory.
pub(super) const SOURCE: &str = "source";

/// As much of a source as is read to find the size of a picture.
const HEAD_BYTES: u64 = 256 * 1024;

/// The directory. Vanishes when dropped.
#[derive(Debug)]
pub(super) struct Scratch(TempDir);

impl Scratch {
    /// Writes `source`, of at most `limit` bytes, into a directory of its own in `parent`.
    pub(super) async fn fill(
        parent: Option<&Path>,
        source: ByteStream,
        limit: u64,
    ) -> Result<Self, RenderError> {
        let parent = parent.map(Path::to_owned);
        let make = move || {
            let mut builder = tempfile::Builder::new();
            let builder = builder.prefix("mmr-render-");
            parent.map_or_else(|| builder.tempdir(), |parent| builder.tempdir_in(parent))
        };
        let directory = spawn_blocking(make).await.map_err(io::Error::other).flatten();
        let scratch = Self(directory.map_err(RenderError::Worker)?);
        let mut file = File::create_new(scratch.path().join(SOURCE)).await.map_err(RenderError::Worker)?;
        let mut source = source.limited(limit);
        while let Some(chunk) = source.next().await {
            let chunk = chunk.map_err(|error| match error {
                StreamError::TooLarge { limit } => RenderError::TooManyBytes { limit },
                error => RenderError::Source(error),
            })?;
            file.write_all(&chunk).await.map_err(RenderError::Worker)?;
        }
        file.flush().await.map_err(RenderError::Worker)?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The beginning of the source.
    pub(super) async fn head(&self) -> Result<Vec<u8>, RenderError> {
        self.read(SOURCE, HEAD_BYTES).await.map_err(RenderError::Worker)
    }

    /// At most `most` bytes of a file.
    pub(super) async fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path().join(name)).await?.take(most).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    /// An empty file for a program to write to. It may make none itself, so that none appears while the directory goes.
    pub(super) fn offer(&self, name: &str) -> io::Result<()> {
        fs::File::create_new(self.path().join(name)).map(drop)
    }
}
