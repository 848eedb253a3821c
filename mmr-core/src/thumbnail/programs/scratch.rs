//! A directory of its own for one source.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
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

/// No key of an object looks like this, as the place may be a datastore's.
const PREFIX: &str = "mmr-render~";
/// Longer than any rendering takes.
const LEFT_OVER: Duration = Duration::from_hours(2);

/// Where directories are made.
#[derive(Debug, Default)]
pub(super) struct Place {
    directory: Option<PathBuf>,
    /// Whether what a crash left behind was removed.
    swept: AtomicBool,
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory: Some(directory), swept: AtomicBool::new(false) }
    }

    fn make(directory: Option<&Path>, first: bool) -> io::Result<TempDir> {
        let place = directory.map_or_else(std::env::temp_dir, Path::to_owned);
        if first && let Err(error) = sweep(&place) {
            tracing::warn!(%error, path = %place.display(), "what renderings left behind cannot be looked for");
        }
        tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)
    }
}

/// Removes directories of processes that did not live to do it.
fn sweep(place: &Path) -> io::Result<()> {
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let age = entry.metadata().and_then(|data| data.modified()).map(|modified| modified.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_OVER))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "what a rendering left behind cannot be removed");
        }
    }
    Ok(())
}

/// A directory. Vanishes when dropped.
#[derive(Debug)]
pub(super) struct Scratch(TempDir);

impl Scratch {
    /// Writes `source`, of at most `limit` bytes, into a directory of its own. Shows it to `look` meanwhile.
    pub(super) async fn fill(
        place: &Place,
        source: ByteStream,
        limit: u64,
        mut look: impl FnMut(&[u8]),
    ) -> Result<Self, RenderError> {
        let directory = place.directory.clone();
        let first = !place.swept.swap(true, Ordering::Relaxed);
        let make = move || Place::make(directory.as_deref(), first);
        let directory = spawn_blocking(make).await.map_err(io::Error::other).flatten();
        let scratch = Self(directory.map_err(RenderError::Worker)?);
        let mut file = File::create_new(scratch.path().join(SOURCE)).await.map_err(RenderError::Worker)?;
        let mut source = source.limited(limit);
        while let Some(chunk) = source.next().await {
            let chunk = chunk.map_err(|error| match error {
                StreamError::TooLarge { limit } => RenderError::TooManyBytes { limit },
                error => RenderError::Source(error),
            })?;
            look(&chunk);
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

    /// The source, for as long as the directory is there.
    pub(super) async fn source(&self) -> Result<ByteStream, RenderError> {
        const CHUNK_BYTES: usize = 256 * 1024;
        let file = File::open(self.path().join(SOURCE)).await.map_err(RenderError::Worker)?;
        let chunks = stream::try_unfold(file, async |mut file| {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let read = file.read_buf(&mut chunk).await.map_err(|error| StreamError::Storage(error.into()))?;
            Ok((read > 0).then(|| (chunk.freeze(), file)))
        });
        Ok(ByteStream::new(chunks))
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_crash_left_behind_is_removed_once_it_is_old() {
        let place = tempfile::tempdir().unwrap();
        for (name, old) in [("mmr-render~a", true), ("mmr-render~b", false), ("ab", true)] {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join(SOURCE), "x").unwrap();
            if old {
                fs::File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        }
        sweep(place.path()).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["ab", "mmr-render~b"]);
    }
}
