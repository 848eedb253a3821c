//! Promises to callers who come at the same time.

use std::{collections::HashSet, future::Future, sync::Barrier, thread, time::Duration};

use tokio::runtime::Handle;

use super::{
    fixtures::{at, blob, blob_at, hash, link, location, media, mxc, ok, reservation, thumbnail, user},
    media::{only, put, stored},
};
use crate::{
    store::{
        Inserted, MediaFilter, MediaStore, NewBlob, NewMedia, NewTask, Page, QuotaCap, Refusal, Reserved,
        StoreError,
    },
    types::{Lookup, Timestamp},
};

const CALLERS: u64 = 16;

/// Calls from threads of their own, all at once. Blocks.
fn together<T: Send, F: Future<Output = T> + Send>(callers: u64, call: impl Fn(u64) -> F + Sync) -> Vec<T> {
    let runtime = Handle::current();
    let start = Barrier::new(usize::try_from(callers).expect("a few"));
    thread::scope(|scope| {
        let spawn = |number| {
            let (runtime, start, call) = (&runtime, &start, &call);
            scope.spawn(move || {
                start.wait();
                runtime.block_on(call(number))
            })
        };
        let threads: Vec<_> = (0..callers).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("the caller does not panic")).collect()
    })
}

/// Calls while the media called `name` is removed.
fn beside_removal<F>(store: &dyn MediaStore, name: u64, call: impl Fn() -> F + Sync) -> Inserted
where
    F: Future<Output = Result<Inserted, StoreError>> + Send,
{
    let mut answers = together(2, async |caller| {
        if caller == 0 {
            return Some(ok(call().await));
        }
        assert_eq!(ok(store.remove(&only(&mxc(name)), 1, at(1)).await).mxcs, [mxc(name)]);
        None
    });
    answers.swap_remove(0).expect("the first caller calls")
}

fn count<T: PartialEq>(answers: &[T], wanted: &T) -> u64 {
    answers.iter().filter(|answer| *answer == wanted).count() as u64
}

/// No row without blob, no live location on the garbage list, sums as if counted anew.
async fn assert_consistent(store: &dyn MediaStore) {
    let everything = Page { limit: u32::MAX, ..Page::default() };
    let records = ok(store.list(&MediaFilter::default(), &everything).await);
    let garbage: HashSet<_> =
        ok(store.garbage(u32::MAX, Timestamp::from_millis(u64::MAX)).await).into_iter().collect();
    let mut blobs = HashSet::new();
    let mut bytes = 0;
    for record in &records {
        assert!(!garbage.contains(&record.blob.location), "{record:?} lies on the garbage list");
        if blobs.insert(record.blob.hash) {
            bytes += record.blob.size;
        }
    }
    let usage = ok(store.datastore_usage(&blob(0).location.datastore).await);
    assert_eq!((usage.blobs, usage.bytes), (blobs.len() as u64, bytes));
    let of_server = ok(store.usage_of_server(mxc(0).origin()).await);
    let sum: u64 = records.iter().map(|record| record.blob.size).sum();
    assert_eq!((of_server.files, of_server.bytes), (records.len() as u64, sum));
}

/// Of many uploads of the same bytes one stores, and the others learn where.
pub async fn of_many_with_the_same_bytes_one_stores(store: &dyn MediaStore) {
    for round in 0..10 {
        let place = |caller| location("main", &format!("round{round}/caller{caller}"));
        let answers = together(CALLERS, async |caller| {
            let name = round * CALLERS + caller;
            ok(store.insert(&NewMedia { blob: blob_at(round, place(caller)), ..media(name, round) }).await)
        });
        let winner = stored(store, &mxc(round * CALLERS)).await.blob.location;
        assert_eq!(count(&answers, &Inserted::Stored), 1);
        assert_eq!(count(&answers, &Inserted::Linked(winner.clone())), CALLERS - 1, "{answers:?}");
        let stored_by = answers.iter().position(|answer| *answer == Inserted::Stored).expect("one did");
        assert_eq!(winner, place(stored_by as u64));
    }
    assert_consistent(store).await;
}

/// Of many uploads under the same name one is recorded.
pub async fn of_many_under_one_name_one_is_recorded(store: &dyn MediaStore) {
    for round in 0..10 {
        let answers =
            together(CALLERS, async |caller| ok(store.insert(&media(round, round * CALLERS + caller)).await));
        assert_eq!(count(&answers, &Inserted::Stored), 1);
        assert_eq!(count(&answers, &Inserted::Refused(Refusal::Taken)), CALLERS - 1, "{answers:?}");
    }
    assert_consistent(store).await;
}

/// Of many who fill a reserved name one does.
pub async fn of_many_fills_of_one_name_one_wins(store: &dyn MediaStore) {
    for round in 0..10 {
        ok(store.reserve(&reservation(round, 0, 60), None).await);
        let fill = |caller| NewMedia { fills_reservation: true, ..media(round, round * CALLERS + caller) };
        let answers = together(CALLERS, async |caller| ok(store.insert(&fill(caller)).await));
        assert_eq!(count(&answers, &Inserted::Stored), 1);
        assert_eq!(count(&answers, &Inserted::Refused(Refusal::Taken)), CALLERS - 1, "{answers:?}");
    }
    assert_consistent(store).await;
}

/// A fill and the removal of expired names agree on who was first.
pub async fn a_name_is_filled_or_expired_but_not_both(store: &dyn MediaStore) {
    for round in 0..50 {
        ok(store.reserve(&reservation(round, 0, 60), None).await);
        let fill = NewMedia { created: at(60), fills_reservation: true, ..media(round, round) };
        let answers = together(2, async |caller| match caller {
            0 => ok(store.insert(&fill).await) == Inserted::Stored,
            _ => ok(store.expire(at(61), 9).await) == 1,
        });
        assert_ne!(answers[0], answers[1]);
    }
    assert_consistent(store).await;
}

/// Limits hold for all calls together.
pub async fn many_reservations_never_exceed_the_limit(store: &dyn MediaStore) {
    for round in 0..10 {
        let answers = together(CALLERS, async |caller| {
            let name = round * CALLERS + caller;
            ok(store.reserve(&reservation(name, round, 60), Some(5)).await)
        });
        assert_eq!(count(&answers, &Reserved::Reserved), 5);
        assert_eq!(count(&answers, &Reserved::TooManyPending), CALLERS - 5);
        assert_eq!(ok(store.pending(&user(round), at(0)).await), 5);
    }
}

/// A name is reserved or used, whoever comes first.
#[expect(clippy::unused_async, reason = "promises are called alike")]
pub async fn of_many_reservations_of_one_name_one_succeeds(store: &dyn MediaStore) {
    for round in 0..10 {
        let answers =
            together(CALLERS, async |caller| ok(store.reserve(&reservation(round, caller, 60), None).await));
        assert_eq!(count(&answers, &Reserved::Reserved), 1);
        assert_eq!(count(&answers, &Reserved::Taken), CALLERS - 1);
    }
}

/// Quotas hold for all uploads together.
pub async fn many_uploads_never_exceed_a_quota(store: &dyn MediaStore) {
    for round in 0..10 {
        let quota = match round % 2 {
            0 => QuotaCap { max_files: Some(5), max_bytes: None },
            _ => QuotaCap { max_files: None, max_bytes: Some(5 * blob(round).size) },
        };
        let upload = |caller| NewMedia {
            uploader: Some(user(round)),
            quota,
            ..media(round * CALLERS + caller, round)
        };
        let answers = together(CALLERS, async |caller| ok(store.insert(&upload(caller)).await));
        assert_eq!(count(&answers, &Inserted::Refused(Refusal::QuotaExceeded)), CALLERS - 5, "{answers:?}");
        assert_eq!(ok(store.usage_of_user(&user(round)).await).files, 5);
    }
    assert_consistent(store).await;
}

/// Whoever links bytes whose last name goes at that moment has them, or learns that they are gone.
pub async fn a_link_to_vanishing_bytes_holds_or_fails(store: &dyn MediaStore) {
    for round in 0..100 {
        put(store, media(2 * round, round)).await;
        let new = link(2 * round + 1, round);
        match beside_removal(store, 2 * round, || store.insert(&new)) {
            Inserted::Linked(location) => {
                assert_eq!(stored(store, &new.mxc).await.blob.location, location);
            }
            Inserted::BlobGone => assert_eq!(ok(store.lookup(&new.mxc).await), Lookup::Unknown),
            other => panic!("{other:?}"),
        }
    }
    assert_consistent(store).await;
}

/// Whoever brings bytes whose last name goes at that moment finds them stored, here or there.
pub async fn bytes_that_come_and_go_at_once_are_never_lost(store: &dyn MediaStore) {
    for round in 0..100 {
        put(store, media(2 * round, round)).await;
        let mine = location("main", &format!("mine/{round}"));
        let new = NewMedia { blob: blob_at(round, mine.clone()), ..media(2 * round + 1, round) };
        let expected = match beside_removal(store, 2 * round, || store.insert(&new)) {
            Inserted::Stored => mine,
            Inserted::Linked(there) => there,
            other => panic!("{other:?}"),
        };
        assert_eq!(stored(store, &new.mxc).await.blob.location, expected);
    }
    assert_consistent(store).await;
}

/// A thumbnail of a picture whose last name goes at that moment goes with it, or is never recorded.
pub async fn a_thumbnail_never_outlives_its_picture(store: &dyn MediaStore) {
    for round in 0..100 {
        put(store, media(round, round)).await;
        let new = thumbnail(round, 1000 + round);
        let inserted = beside_removal(store, round, || store.insert_thumbnail(&new));
        assert!(matches!(inserted, Inserted::Stored | Inserted::BlobGone), "{inserted:?}");
    }
    assert_consistent(store).await;
}

/// A blob that moves while its last name goes lies in one place at most.
pub async fn a_blob_that_moves_and_goes_leaves_no_live_garbage(store: &dyn MediaStore) {
    for round in 0..100 {
        put(store, media(round, round)).await;
        let (from, to) = (blob(round).location, location("main", &format!("moved/{round}")));
        let moved = together(2, async |caller| match caller {
            0 => ok(store.relocate(&hash(round), &from, &to, at(1)).await),
            _ => ok(store.remove(&only(&mxc(round)), 1, at(1)).await).blobs == 1,
        });
        assert!(moved[1]);
        let garbage = ok(store.garbage(9, at(2)).await);
        assert_eq!(garbage.contains(&to), moved[0]);
        assert!(garbage.contains(&from));
        ok(store.forget(&garbage).await);
    }
    assert_consistent(store).await;
}

/// A lease has one holder, however many try.
#[expect(clippy::unused_async, reason = "promises are called alike")]
pub async fn of_many_who_want_a_lease_one_gets_it(store: &dyn MediaStore) {
    for round in 0..10 {
        let answers = together(CALLERS, async |caller| {
            let (name, holder) = (format!("lease{round}"), format!("holder{caller}"));
            ok(store.try_lease(&name, &holder, Duration::from_secs(10), at(0)).await)
        });
        assert_eq!(count(&answers, &true), 1);
    }
}

/// A task goes to one holder, however many look for work.
pub async fn no_two_holders_have_one_task(store: &dyn MediaStore) {
    const TASKS: u64 = 10;
    for number in 0..TASKS {
        let task = NewTask {
            name: format!("task{number}"),
            params: String::new(),
            created: at(0),
            not_before: at(0),
        };
        ok(store.enqueue(&task).await);
    }
    let claims = together(CALLERS, async |caller| {
        ok(store.claim(&format!("holder{caller}"), Duration::from_secs(10), at(0)).await).map(|task| task.id)
    });
    let tasks: HashSet<_> = claims.iter().flatten().collect();
    assert_eq!((tasks.len() as u64, count(&claims, &None)), (TASKS, CALLERS - TASKS), "{claims:?}");
}

/// Readers see a name reserved or stored, and never in between.
pub async fn a_name_that_is_filled_is_never_unknown(store: &dyn MediaStore) {
    for round in 0..20 {
        ok(store.reserve(&reservation(round, 0, 60), None).await);
        let fill =
            NewMedia { fills_reservation: true, blob: NewBlob::Store(blob(round)), ..media(round, round) };
        let seen = together(4, async |caller| {
            if caller == 0 {
                return ok(store.insert(&fill).await) == Inserted::Stored;
            }
            let mut known = true;
            for _ in 0..20 {
                known &= ok(store.lookup(&fill.mxc).await) != Lookup::Unknown;
            }
            known
        });
        assert_eq!(count(&seen, &true), 4);
    }
}
