//! Reading on where a body broke off.

use std::{ops::Range, sync::Arc};

use ::object_store::{
    Error as StoreError, GetOptions, GetResultPayload, ObjectMeta, ObjectStore, path::Path,
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{ObjectStoreDatastore, error::Place};

type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

/// Tries in a row that bring not a single byte.
const MAX_FRUITLESS: u32 = 3;

/// What is needed to ask for the rest of an object. Stores that try again by themselves do so within the time that they
/// allow for one request, which a long download has used up.
#[derive(Debug)]
pub(super) struct Resume {
    store: Arc<dyn ObjectStore>,
    place: Place,
    path: Path,
    left: Range<u64>,
    size: u64,
    e_tag: Option<String>,
    fruitless: u32,
}

impl Resume {
    /// For the bytes of `range` of the object that `meta` tells about.
    pub(super) fn new(
        datastore: &ObjectStoreDatastore,
        path: Path,
        range: Range<u64>,
        meta: &ObjectMeta,
    ) -> Self {
        let (store, place) = (Arc::clone(&datastore.store), datastore.place.clone());
        let (size, e_tag) = (meta.size, meta.e_tag.clone());
        Self { store, place, path, left: range, size, e_tag, fruitless: 0 }
    }

    /// Reads `chunks`, and the rest from wherever it takes.
    pub(super) fn read(self, chunks: Chunks) -> Chunks {
        let step = |state: Option<(Self, Chunks)>| async move {
            let (mut this, mut chunks) = state?;
            loop {
                match chunks.next().await? {
                    Ok(chunk) => {
                        this.left.start += chunk.len() as u64;
                        this.fruitless = 0;
                        return Some((Ok(chunk), Some((this, chunks))));
                    }
                    Err(error) => match this.resume(&error).await {
                        Some(rest) => chunks = rest,
                        None => return Some((Err(error), None)),
                    },
                }
            }
        };
        stream::unfold(Some((self, chunks)), step).boxed()
    }

    /// The rest of the object, if there is some and it is the same object.
    async fn resume(&mut self, error: &StoreError) -> Option<Chunks> {
        while self.fruitless < MAX_FRUITLESS && !self.left.is_empty() {
            self.fruitless += 1;
            tracing::debug!(key = %self.path, error = error as &dyn std::error::Error, "a read broke off, reading on");
            let options = GetOptions { range: Some(self.left.clone().into()), ..GetOptions::default() };
            match self.store.get_opts(&self.path, options).await {
                Ok(rest) if rest.meta.size != self.size || rest.meta.e_tag != self.e_tag => return None,
                Ok(rest) => match rest.payload {
                    GetResultPayload::Stream(chunks) => return Some(chunks),
                    GetResultPayload::File(..) => return None,
                },
                Err(error) => {
                    if !self.place.classify(error).is_transient() {
                        return None;
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use ::object_store::{ObjectStoreExt as _, memory::InMemory};
    use futures_util::TryStreamExt as _;

    use super::*;

    fn broken() -> StoreError {
        StoreError::Generic { store: "test", source: "broken".into() }
    }

    async fn read(start: &'static [u8], object: &'static [u8]) -> Result<Vec<Bytes>, StoreError> {
        let (store, path) = (Arc::new(InMemory::new()), Path::from("a"));
        store.put(&path, b"abcdef".to_vec().into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        store.put(&path, object.to_vec().into()).await.unwrap();
        // `InMemory` has a tag of its own for each put.
        let meta = ObjectMeta { e_tag: store.head(&path).await.unwrap().e_tag, ..meta };
        let chunks = stream::iter([Ok(Bytes::from_static(start)), Err(broken())]).boxed();
        Resume::new(&ObjectStoreDatastore::new(store), path, 0..6, &meta).read(chunks).try_collect().await
    }

    #[tokio::test]
    async fn a_body_goes_on_where_it_broke_off() {
        assert_eq!(read(b"abcd", b"abcdef").await.unwrap().concat(), b"abcdef");
    }

    #[tokio::test]
    async fn the_rest_of_another_object_is_not_taken() {
        assert!(read(b"abcd", b"abcdefg").await.is_err());
    }
}
