//! Hashing beside receiving.

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    Error, Result,
    types::{Digests, Hasher},
};

/// Bytes that are hashed at once. Shorter bodies are not worth a hop to another thread.
const BATCH: usize = 128 << 10;

/// Hashes a long body on a blocking thread while more of it comes in. Two batches are in memory at most.
///
/// Hashing is most of the processor time of an upload. On the thread of its connection it would keep everybody else's
/// waiting, and the next bytes in the socket.
pub(crate) struct Digesting {
    // `None` while it is away.
    hasher: Option<Hasher>,
    away: Option<JoinHandle<Hasher>>,
    waiting: Vec<Bytes>,
    bytes: usize,
}

impl Digesting {
    pub(crate) fn new() -> Self {
        Self { hasher: Some(Hasher::new()), away: None, waiting: Vec::new(), bytes: 0 }
    }

    pub(crate) async fn update(&mut self, chunk: &Bytes) -> Result<()> {
        self.bytes += chunk.len();
        self.waiting.push(chunk.clone());
        if self.bytes >= BATCH {
            let mut hasher = self.take_back().await?;
            let batch = std::mem::take(&mut self.waiting);
            self.bytes = 0;
            self.away = Some(spawn_blocking(move || {
                for chunk in batch {
                    hasher.update(&chunk);
                }
                hasher
            }));
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Digests> {
        let mut hasher = self.take_back().await?;
        for chunk in self.waiting {
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }

    /// In place, so that nothing is lost when the caller is dropped meanwhile.
    async fn take_back(&mut self) -> Result<Hasher> {
        if let Some(away) = &mut self.away {
            let back = away.await;
            self.away = None;
            self.hasher = back.ok();
        }
        self.hasher.take().ok_or(Error::Internal("hashing ended early"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_digests_are_those_of_the_whole_whatever_the_chunks() {
        let bytes = Bytes::from((0..=250).cycle().take(3 * BATCH + 17).collect::<Vec<u8>>());
        for size in [1000, BATCH - 1, BATCH, BATCH + 1, 4 * BATCH] {
            let mut digesting = Digesting::new();
            for start in (0..bytes.len()).step_by(size) {
                digesting.update(&bytes.slice(start..bytes.len().min(start + size))).await.unwrap();
            }
            assert_eq!(digesting.finish().await.unwrap(), Hasher::digest(&bytes), "chunks of {size}");
        }
    }
}
