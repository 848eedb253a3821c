//! Recording what several uploads bring at the same time in one transaction.
//!
//! Most media is plain: a name that was just made up, bytes that nobody had, no reservation, no quota. While one
//! call records some, others wait for their turn, and then go together: one round trip and one commit for all of them. What
//! turns out not to be plain is recorded by itself.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    sync::oneshot::{self, Receiver, Sender},
    time::timeout,
};

use super::super::{
    PostgresStore,
    blobs::only,
    error::may_have_happened,
    pool::in_background,
    row::{Columns, Value, int, maybe_texts, texts},
};
use crate::{
    backend::group::GroupError,
    store::{Inserted, NewBlob, NewMedia, QuotaCap, StoreError},
    types::{BlobRecord, Checksum, DatastoreId, FileName},
};

/// How long somebody waits for his turn. Whoever has it may be waiting for another's lock, and the others need not.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much media is recorded in one transaction.
const TOGETHER: usize = 64;

const INSERT: &str = "SELECT mmr.insert_plain_media($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Who records plain media, and who waits.
#[derive(Debug, Default)]
pub(in super::super) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the turn began of whoever has it.
    since: Option<Instant>,
    waiting: Vec<Waiting>,
    /// The number of who came last.
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    media: NewMedia,
    answer: Sender<Outcome>,
}

type Outcome = Result<Inserted, StoreError>;

/// What becomes of somebody who joins.
enum Joined {
    /// It is his [`Turn`], which has to be passed on.
    Turn,
    Waiting {
        number: u64,
        answer: Receiver<Outcome>,
    },
    /// Whoever has the turn has had it for too long.
    Stuck,
}

impl Waiting {
    fn datastore(&self) -> Option<&DatastoreId> {
        bytes_of(&self.media).map(|(blob, _)| &blob.location.datastore)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, media: &NewMedia) -> Joined {
        let mut state = self.lock();
        match state.since {
            None => {
                state.since = Some(Instant::now());
                return Joined::Turn;
            }
            Some(since) if since.elapsed() > PATIENCE => return Joined::Stuck,
            Some(_) => {}
        }
        let (answer, answered) = oneshot::channel();
        state.last += 1;
        let number = state.last;
        state.waiting.push(Waiting { number, media: media.clone(), answer });
        Joined::Waiting { number, answer: answered }
    }

    /// Whether it was still waiting.
    fn leave(&self, number: u64) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.number != number);
        state.waiting.len() < before
    }
}

/// Whether `media` may be recorded with others.
pub(super) fn may_be_plain(media: &NewMedia) -> bool {
    let NewMedia { restriction, expires, fills_reservation, quota, .. } = media;
    let bare =
        restriction.is_none() && expires.is_none() && !fills_reservation && *quota == QuotaCap::default();
    bare && bytes_of(media).is_some()
}

/// What is stored, and its checksum.
fn bytes_of(media: &NewMedia) -> Option<(&BlobRecord, &Checksum)> {
    let NewBlob::Store(blob) = &media.blob else { return None };
    Some((blob, blob.checksum.as_ref()?))
}

/// Records `media`, when it is its turn.
pub(super) async fn insert(store: &PostgresStore, media: &NewMedia) -> Result<Inserted, StoreError> {
    let (number, mut answer) = match store.queue().join(media) {
        Joined::Turn => {
            let _turn = Turn(store.clone());
            return super::insert_alone(store, media).await;
        }
        Joined::Waiting { number, answer } => (number, answer),
        Joined::Stuck => return super::insert_alone(store, media).await,
    };
    let answered = match timeout(PATIENCE, &mut answer).await {
        Ok(answered) => answered,
        Err(_) if store.queue().leave(number) => return super::insert_alone(store, media).await,
        // It is under way.
        Err(_) => answer.await,
    };
    answered.unwrap_or_else(|gone| Err(StoreError::Unavailable(Box::new(gone))))
}

/// One of those that record; passes on to those who wait.
struct Turn(PostgresStore);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.queue().lock();
        state.waiting.retain(|waiting| !waiting.answer.is_closed());
        let Some(datastore) = state.waiting.iter().find_map(Waiting::datastore).cloned() else {
            state.since = None;
            return;
        };
        state.since = Some(Instant::now());
        let of_it = |waiting: &mut Waiting| waiting.datastore() == Some(&datastore);
        let batch: Vec<Waiting> = state.waiting.extract_if(.., of_it).take(TOGETHER).collect();
        drop(state);
        let turn = Self(self.0.clone());
        in_background(async move { record(&turn.0, batch).await });
    }
}

async fn record(store: &PostgresStore, batch: Vec<Waiting>) {
    let alone = async |Waiting { media, answer, .. }| {
        // Who has left meanwhile is served all the same.
        let _ = answer.send(super::insert_alone(store, &media).await);
    };
    let mut rest = Vec::new();
    if batch.len() == 1 {
        rest = batch;
    } else {
        match insert_together(store, &batch).await {
            Ok(recorded) => {
                for (index, waiting) in (1..).zip(batch) {
                    if recorded.contains(&index) {
                        store.added();
                        let _ = waiting.answer.send(Ok(Inserted::Stored));
                    } else {
                        rest.push(waiting);
                    }
                }
            }
            Err(error) if may_have_happened(&error) => {
                let error = GroupError::from(error);
                for waiting in batch {
                    let _ = waiting.answer.send(Err(StoreError::Unavailable(Box::new(error.clone()))));
                }
            }
            // Nothing happened. One of them is to blame, or waits for a lock: each is tried.
            Err(_) => rest = batch,
        }
    }
    join_all(rest.into_iter().map(alone)).await;
}

/// Answers which ones are recorded, counted from 1. Their bytes are all in one datastore.
async fn insert_together(store: &PostgresStore, batch: &[Waiting]) -> Result<HashSet<i64>, StoreError> {
    let all = || batch.iter().map(|waiting| &waiting.media);
    let blobs = || all().filter_map(bytes_of);
    let params = [
        texts(all().map(|media| media.mxc.origin().as_str())),
        texts(all().map(|media| media.mxc.media_id().as_str())),
        Value::BytesList(blobs().map(|(blob, _)| blob.hash.as_bytes().to_vec()).collect()),
        Value::BytesList(blobs().map(|(_, checksum)| checksum.as_bytes().to_vec()).collect()),
        Value::Ints(blobs().map(|(blob, _)| int(blob.size)).collect()),
        Value::from(blobs().next().map(|(blob, _)| blob.location.datastore.as_str())),
        texts(blobs().map(|(blob, _)| blob.location.key.as_str())),
        texts(all().map(|media| media.content_type.as_str())),
        maybe_texts(all().map(|media| media.file_name.as_ref().map(FileName::as_str))),
        maybe_texts(all().map(|media| media.uploader.as_ref().map(|user| user.as_str()))),
        Value::Ints(all().map(|media| int(media.created.as_millis())).collect()),
        Value::Bools(all().map(|media| media.requires_auth).collect()),
    ];
    let rows = store.pool().write(INSERT, &params).await?;
    let recorded: Vec<i64> = Columns::of("media", only(&rows, "media")?).get()?;
    Ok(recorded.into_iter().collect())
}
