//! Walking a directory of objects.

use std::{
    fs::{self, Metadata, ReadDir},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::task::spawn_blocking;

use super::error::classify;
use crate::{datastore::DatastoreError, types::BlobKey};

/// Files looked at in one trip to a blocking thread.
const BATCH: usize = 256;

/// A file below the root.
pub(super) struct Found {
    /// Its path relative to the root, segments joined by `/`.
    pub(super) name: String,
    pub(super) metadata: Metadata,
}

/// All files below `root`, or below the directory `prefix` in it. Directories that no key can lead into, such as
/// `lost+found`, are passed over unopened, for they may well be unreadable.
pub(super) fn walk(
    root: PathBuf,
    prefix: Option<&BlobKey>,
) -> BoxStream<'static, Result<Found, DatastoreError>> {
    let prefix = prefix.map(ToString::to_string);
    let begin = move || Walk::begin(&root, prefix);
    let batches = stream::unfold(Some(State::NotBegun(begin)), |state| async move {
        let state = state?;
        let step = move || {
            let mut walk = match state {
                State::NotBegun(begin) => match begin() {
                    Ok(walk) => walk,
                    Err(error) => return (vec![Err(error)], None),
                },
                State::Begun(walk) => walk,
            };
            let batch: Vec<_> = walk.by_ref().take(BATCH).collect();
            let more = (batch.len() == BATCH).then_some(State::Begun(walk));
            (batch, more)
        };
        match spawn_blocking(step).await {
            Ok((batch, more)) => Some((batch, more)),
            Err(error) => Some((vec![Err(io::Error::other(error))], None)),
        }
    });
    batches.flat_map(stream::iter).map(|found| found.map_err(classify)).boxed()
}

enum State<F> {
    NotBegun(F),
    Begun(Walk),
}

struct Walk {
    levels: Vec<Level>,
}

struct Level {
    entries: ReadDir,
    // Path relative to the root, with a `/` behind it unless empty.
    name: String,
    // Device and inode, to notice symbolic links that lead back up.
    id: (u64, u64),
}

impl Walk {
    fn begin(root: &Path, prefix: Option<String>) -> io::Result<Self> {
        let mut name = prefix.unwrap_or_default();
        let path = root.join(&name);
        if !name.is_empty() {
            name.push('/');
        }
        let level = fs::metadata(&path).and_then(|metadata| {
            if !metadata.is_dir() {
                return Ok(None);
            }
            Ok(Some(Level { entries: fs::read_dir(&path)?, name, id: (metadata.dev(), metadata.ino()) }))
        });
        Ok(Self { levels: if_found(level)?.flatten().into_iter().collect() })
    }

    /// Looks at one directory entry: a file is answered, a directory is gone into.
    fn visit(&mut self, entry: &fs::DirEntry) -> io::Result<Option<Found>> {
        let Some(above) = self.levels.last() else { return Ok(None) };
        let Ok(segment) = entry.file_name().into_string() else { return Ok(None) };
        let name = format!("{}{segment}", above.name);
        // Follows symbolic links. What was deleted meanwhile, or leads nowhere, is not there.
        let Some(metadata) = if_found(fs::metadata(entry.path()))? else { return Ok(None) };
        if metadata.is_file() {
            return Ok(Some(Found { name, metadata }));
        }
        let id = (metadata.dev(), metadata.ino());
        let leads_back_up = self.levels.iter().any(|level| level.id == id);
        if metadata.is_dir()
            && BlobKey::parse(&segment).is_ok()
            && !leads_back_up
            && let Some(entries) = if_found(fs::read_dir(entry.path()))?
        {
            self.levels.push(Level { entries, name: name + "/", id });
        }
        Ok(None)
    }
}

impl Iterator for Walk {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(entry) = self.levels.last_mut()?.entries.next() else {
                self.levels.pop();
                continue;
            };
            let found = entry.and_then(|entry| self.visit(&entry));
            if let Some(found) = found.transpose() {
                return Some(found);
            }
        }
    }
}

fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
