//! Having the disk write down what has come in, beside what is still coming.

use std::io;

use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes from one sync to the next.
const EVERY: usize = 16 << 20;

/// What of a file is not synced yet.
#[derive(Debug, Default)]
pub(super) struct SyncAhead {
    unsynced: usize,
    syncing: Option<JoinHandle<()>>,
}

impl SyncAhead {
    /// To be called before `bytes` more are written. One sync at a time: a disk that is slower than the network slows the
    /// sender down now, rather than the commit.
    pub(super) async fn before(
        &mut self,
        bytes: usize,
        sync: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) {
        if self.unsynced >= EVERY {
            if let Some(syncing) = &mut self.syncing {
                syncing.await.unwrap_or_default();
            }
            // What fails here fails at the commit too, which tells.
            self.syncing = Some(spawn_blocking(|| drop(sync())));
            self.unsynced = 0;
        }
        self.unsynced += bytes;
    }
}
