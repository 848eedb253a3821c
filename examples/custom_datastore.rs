//! A datastore of one's own: encrypts whatever another datastore keeps, and proves with the contract suite that it still
//! is one.
//!
//! ```text
//! cargo run -p mmr-examples --example custom_datastore     # shows that the bytes at rest are not the bytes
//! cargo test -p mmr-examples --example custom_datastore    # runs the contract suite on it
//! ```

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chacha20::{
    XChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _},
};
use futures_util::{StreamExt as _, stream::BoxStream};
use mmr_core::{
    backend::object_store::ObjectStoreDatastore,
    datastore::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError, LinkRequest, OpenObject},
    stream::ByteStream,
    types::{BlobKey, Hasher, Timestamp},
};

/// Encrypts with XChaCha20, which can start at any offset, so ranges stay ranges. Lengths do not change. What is tampered
/// with is not noticed here: the repository knows the checksum of every blob.
#[derive(Debug)]
struct Encrypted {
    inner: Arc<dyn Datastore>,
    secret: Secret,
}

#[derive(Clone, Copy)]
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The key stream for `key` from `offset` on. Keys are used once, so a nonce made from them is used once, too.
    fn cipher(&self, key: &BlobKey, offset: u64) -> XChaCha20 {
        let digest = Hasher::digest(key.as_str().as_bytes()).checksum;
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&digest.as_bytes()[..24]);
        let mut cipher = XChaCha20::new(&self.0.into(), &nonce.into());
        cipher.seek(offset);
        cipher
    }
}

fn apply(cipher: &mut XChaCha20, chunk: Bytes) -> Bytes {
    let mut chunk = BytesMut::from(chunk);
    cipher.apply_keystream(&mut chunk);
    chunk.freeze()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Datastore for Encrypted {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        let (inner, cipher) = (self.inner.create(key).await?, self.secret.cipher(key, 0));
        Ok(Box::new(EncryptedWriter { inner, cipher }))
    }

    /// The file of such an object would be written, and read, in the clear.
    async fn create_open(&self, _: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        Ok(None)
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        let offset = range.as_ref().map_or(0, |range| range.start);
        let BlobRead { len, body } = self.inner.read(key, range).await?;
        let mut cipher = self.secret.cipher(key, offset);
        let body = ByteStream::new(body.map(move |chunk| Ok(apply(&mut cipher, chunk?))));
        Ok(BlobRead { len, body })
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        self.inner.delete(key).await
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.inner.list(prefix)
    }

    /// A link would hand out what nobody else can read.
    async fn link(&self, _: &BlobKey, _: &LinkRequest<'_>) -> Result<Option<url::Url>, DatastoreError> {
        Ok(None)
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        self.inner.remove_unfinished(before).await
    }
}

struct EncryptedWriter {
    inner: Box<dyn BlobWriter>,
    cipher: XChaCha20,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobWriter for EncryptedWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        self.inner.write(apply(&mut self.cipher, chunk)).await
    }

    async fn write_many(&mut self, chunks: Vec<Bytes>) -> Result<(), DatastoreError> {
        let encrypted = chunks.into_iter().map(|chunk| apply(&mut self.cipher, chunk)).collect();
        self.inner.write_many(encrypted).await
    }

    async fn commit(self: Box<Self>) -> Result<(), DatastoreError> {
        self.inner.commit().await
    }

    async fn abort(self: Box<Self>) {
        self.inner.abort().await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
    let encrypted = Encrypted { inner: Arc::clone(&plain), secret: Secret([7; 32]) };

    let key = BlobKey::generate();
    let mut writer = encrypted.create(&key).await?;
    writer.write(Bytes::from_static(b"hello, world")).await?;
    writer.commit().await?;

    let at_rest = plain.read(&key, None).await?.body.collect_up_to(100).await?;
    let through = encrypted.read(&key, Some(7..12)).await?.body.collect_up_to(100).await?;
    println!("at rest: {at_rest:02x?}\nthrough the wrapper, from byte 7: {through:?}");
    assert_eq!(through, "world");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    mmr_core::testing::datastore_suite!(Encrypted {
        inner: Arc::new(ObjectStoreDatastore::in_memory()),
        secret: Secret([7; 32]),
    });
}
