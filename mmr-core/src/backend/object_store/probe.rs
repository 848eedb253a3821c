//! Trying a store before it is relied on.

use std::{error::Error, fmt::Write as _, ops::Range};

use ::object_store::{ObjectStore as _, PutMode, PutPayload, path::Path};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::ObjectStoreDatastore;
use crate::{
    datastore::{Datastore as _, DatastoreError},
    types::{BlobKey, Timestamp},
};

/// Something that a store was tried for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What it means for the operator if it does not work.
    pub meaning: &'static str,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should.
    Passed,
    /// The store cannot be used like this, and why.
    Failed(String),
    /// The store can be used, but this is good to know.
    Noted(String),
}

impl Check {
    /// Whether the store can be used as far as this goes.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed(_))
    }
}

const PUT: (&str, &str) = (
    "put an object",
    "nothing can be stored: look at the endpoint, the bucket, the credentials and their permission to write",
);
const READ: (&str, &str) =
    ("read an object", "nothing can be served: the credentials may lack the permission to read");
const RANGE: (&str, &str) =
    ("read a range", "videos cannot be sought in, and broken reads cannot be resumed");
const OVERLONG: (&str, &str) = (
    "refuse a range behind the end",
    "clients that ask for too much get errors of the server, not of theirs",
);
const LONG: (&str, &str) = (
    "put an object in several parts",
    "objects longer than a part cannot be stored; try without multipart uploads",
);
const LIST: (&str, &str) = ("list objects", "objects that nothing refers to cannot be found and removed");
const DELETE: (&str, &str) = ("delete an object", "deleted media stays in the store");
const DELETE_MISSING: (&str, &str) =
    ("delete a missing object", "a deletion that was interrupted cannot be finished");
const MISSING: (&str, &str) = (
    "tell that an object is missing",
    "missing media looks like a broken store; S3 hides it when listing is not permitted",
);
const UNFINISHED: (&str, &str) = (
    "list unfinished uploads",
    "what crashes leave behind is not removed: give the bucket a lifecycle rule that aborts uploads after a day",
);
const CONDITIONAL: (&str, &str) =
    ("refuse to overwrite when asked to", "nothing: no object is ever put where another one may be");

/// A few bytes that differ from their neighbours.
fn sample(range: Range<usize>) -> Bytes {
    range.map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}

/// A message with all its causes.
pub(in crate::backend) fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some repeat what lies below them.
        let message = error.to_string();
        if !text.contains(&message) {
            let _ = write!(text, ": {message}");
        }
        cause = error.source();
    }
    text
}

type Tried = Result<(), String>;

fn expect(got: bool, otherwise: &str) -> Tried {
    if got { Ok(()) } else { Err(otherwise.to_owned()) }
}

impl ObjectStoreDatastore {
    /// Tries everything that a media repository asks of a store, with objects of its own that it removes again. Ends
    /// early when not even one can be put.
    pub async fn probe(&self) -> Vec<Check> {
        let mut checks = vec![];
        let (short, long) = (BlobKey::generate(), BlobKey::generate());
        let mut record = |(name, meaning), tried: Tried, essential: bool| {
            let outcome = match tried {
                Ok(()) => Outcome::Passed,
                Err(why) if essential => Outcome::Failed(why),
                Err(why) => Outcome::Noted(why),
            };
            checks.push(Check { name, outcome, meaning });
        };
        let put = self.try_put(&short, SHORT).await;
        let stored = put.is_ok();
        record(PUT, put, true);
        if !stored {
            return checks;
        }
        record(READ, self.try_read(&short, SHORT).await, true);
        record(RANGE, self.try_range(&short).await, true);
        record(OVERLONG, self.try_overlong(&short).await, true);
        let put = self.try_put(&long, self.part_bytes + SHORT).await;
        record(LONG, and(put, self.try_read(&long, self.part_bytes + SHORT)).await, true);
        record(LIST, self.try_list(&short).await, true);
        if let Some(extension) = &self.extension {
            for (names, tried) in extension.try_links(&short, &sample(0..SHORT)).await {
                record(names, tried, true);
            }
        }
        record(UNFINISHED, self.remove_unfinished(Timestamp::EPOCH).await.map(drop).map_err(said), false);
        record(CONDITIONAL, self.try_conditional(&short).await, false);
        record(DELETE, and(self.try_delete(&short).await, self.try_delete(&long)).await, true);
        record(DELETE_MISSING, self.try_delete(&short).await, true);
        record(MISSING, self.try_missing(&short).await, true);
        checks
    }

    async fn try_put(&self, key: &BlobKey, len: usize) -> Tried {
        let put = async {
            let mut writer = self.create(key).await?;
            for start in (0..len).step_by(PIECE) {
                if let Err(error) = writer.write(sample(start..len.min(start + PIECE))).await {
                    writer.abort().await;
                    return Err(error);
                }
            }
            writer.commit().await
        };
        put.await.map_err(said)
    }

    async fn try_read(&self, key: &BlobKey, len: usize) -> Tried {
        let read = self.read(key, None).await.map_err(said)?;
        let bytes = read.body.collect_up_to(len as u64).await.map_err(|error| explain(&error))?;
        expect(bytes == sample(0..len), "other bytes came back than were put")
    }

    async fn try_range(&self, key: &BlobKey) -> Tried {
        let read = self.read(key, Some(100..200)).await.map_err(said)?;
        let bytes = read.body.collect_up_to(100).await.map_err(|error| explain(&error))?;
        expect(bytes == sample(100..200), "other bytes came back than were asked for")
    }

    async fn try_overlong(&self, key: &BlobKey) -> Tried {
        let len = SHORT as u64;
        for range in [len - 1..len + 1, len + 1..len + 2] {
            match self.read(key, Some(range)).await {
                Err(DatastoreError::Range { len: told }) if told == len => {}
                Err(error) => return Err(said(error)),
                Ok(_) => return Err("it was answered".to_owned()),
            }
        }
        Ok(())
    }

    async fn try_list(&self, key: &BlobKey) -> Tried {
        let above = key.as_str().split_once('/').and_then(|(above, _)| BlobKey::parse(above).ok());
        let mut listing = self.list(above.as_ref());
        while let Some(stat) = listing.next().await {
            let stat = stat.map_err(said)?;
            if stat.key == *key {
                return expect(stat.size == SHORT as u64, "its size is not what was put");
            }
        }
        Err("an object that was put is not listed".to_owned())
    }

    async fn try_conditional(&self, key: &BlobKey) -> Tried {
        let payload = PutPayload::from(sample(0..SHORT));
        match self.store.put_opts(&Path::from(key.as_str()), payload, PutMode::Create.into()).await {
            Err(::object_store::Error::AlreadyExists { .. }) => Ok(()),
            Ok(_) => Err("it overwrites".to_owned()),
            Err(error) => Err(said(self.place.classify(error))),
        }
    }

    async fn try_delete(&self, key: &BlobKey) -> Tried {
        self.delete(key).await.map_err(said)
    }

    async fn try_missing(&self, key: &BlobKey) -> Tried {
        match self.read(key, None).await {
            Err(DatastoreError::NotFound) => Ok(()),
            Err(error) => Err(said(error)),
            Ok(_) => Err("a deleted object can still be read".to_owned()),
        }
    }
}

const SHORT: usize = 1000;
const PIECE: usize = 64 << 10;

async fn and(first: Tried, second: impl Future<Output = Tried>) -> Tried {
    let second = second.await;
    first.and(second)
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn said(error: DatastoreError) -> String {
    explain(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_passes_and_is_left_empty() {
        let store = ObjectStoreDatastore::in_memory();
        let checks = store.probe().await;
        assert!(checks.iter().all(|check| check.outcome == Outcome::Passed), "{checks:?}");
        assert!(store.list(None).next().await.is_none());
    }
}
