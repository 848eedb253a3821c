//! What is called.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mmr_core::{
    store::{
        BlobIndex as _, LeaseIndex as _, MediaFilter, MediaIndex as _, ModerationIndex as _, NewBlob,
        NewMedia, NewTask, NewThumbnail, Order, Page, PreviewIndex as _, Quarantine, QuotaCap, Signal,
        Signals as _, TaskIndex as _, ThumbnailIndex as _, UploadIndex as _, UploadProbe, UsageIndex as _,
    },
    testing::store_suite::fixtures::{
        at, datastore_id, hash, key_of, link, location, media, mxc, ok, reservation, spec, thumbnail, user,
    },
    types::{ContentType, Lookup, Timestamp},
};
use ruma::{OwnedServerName, OwnedUserId};

use super::{Bench, NOW, Samples, blob_hash};

const HEADER: &str = "| call | ways to rows, and how many it came past | statements | pages | ms: median / 99 % |\n\
    |---|---|---:|---:|---:|";
/// Names that the generator has not given away: one range for each call that makes media.
const LINKED: u64 = 1_000_000;
const RESERVED: u64 = 2_000_000;

/// Prints a row for each.
pub(crate) async fn all(bench: &mut Bench, samples: &Samples) {
    println!("{HEADER}");
    reads(bench, samples).await;
    uploads(bench).await;
    sums(bench).await;
    upkeep(bench).await;
    queues(bench).await;
    lists(bench).await;
    removals(bench, samples).await;
}

/// Of the generated users, one of the first has thousands of media, most have ten.
fn uploader(number: u64) -> OwnedUserId {
    format!("@u{number}:example.org").try_into().expect("the ID is inside the grammar")
}

fn server(number: u64) -> OwnedServerName {
    format!("s{number}.example.net").try_into().expect("the name is inside the grammar")
}

fn home() -> OwnedServerName {
    "example.org".try_into().expect("the name is inside the grammar")
}

/// So many days into the generated year.
fn day(number: u64) -> Timestamp {
    at(number * 24 * 60 * 60)
}

/// The generator's number of a blob that media has.
fn blob_number(number: u64) -> i64 {
    i64::try_from(number * 613 % 800_000).unwrap_or_default() + 1
}

async fn reads(bench: &mut Bench, samples: &Samples) {
    bench
        .measure("lookup", async |store, number| {
            let found = ok(store.lookup(&samples.get(number).0).await);
            assert!(matches!(found, Lookup::Stored(_)), "{found:?}");
        })
        .await;
    bench
        .measure("lookup of nothing", async |store, number| drop(ok(store.lookup(&mxc(number)).await)))
        .await;
    bench
        .measure("lookup of a reservation", async |store, number| {
            let found =
                ok(store.lookup(&super::mxc("example.org", &format!("reserved{}", number + 1))).await);
            assert!(matches!(found, Lookup::Reserved(_)), "{found:?}");
        })
        .await;
    bench
        .measure("thumbnail", async |store, number| {
            ok(store.thumbnail(&samples.get(number).0, &spec(640, 480)).await);
        })
        .await;
    bench
        .measure("touch of 100", async |store, number| {
            let seen = (0..100).map(|each| (blob_hash(blob_number(number * 100 + each)), NOW));
            ok(store.touch(&seen.collect::<Vec<_>>()).await);
        })
        .await;
}

async fn uploads(bench: &mut Bench) {
    let probe = |hash| UploadProbe {
        hash,
        origin: home(),
        uploader: Some(uploader(0)),
        content_type: ContentType::new("image/png"),
        file_name: None,
    };
    bench
        .measure("upload_facts, new bytes", async |store, number| {
            ok(store.upload_facts(&probe(hash(number))).await);
        })
        .await;
    bench
        .measure("upload_facts, known bytes", async |store, number| {
            let facts = ok(store.upload_facts(&probe(blob_hash(blob_number(number)))).await);
            assert!(facts.blob.is_some(), "{facts:?}");
        })
        .await;
    let quota = QuotaCap { max_bytes: Some(i64::MAX.unsigned_abs()), max_files: Some(1_000_000) };
    bench
        .measure("insert", async |store, number| {
            let uploader = Some(uploader(0));
            ok(store.insert(&NewMedia { quota, uploader, ..media(number, number) }).await);
        })
        .await;
    bench
        .measure("insert, known bytes", async |store, number| {
            let blob = NewBlob::Link(blob_hash(blob_number(number)));
            ok(store.insert(&NewMedia { quota, blob, ..link(LINKED + number, 0) }).await);
        })
        .await;
    bench
        .measure("reserve", async |store, number| {
            ok(store.reserve(&reservation(RESERVED + number, 0, 60), Some(1_000_000)).await);
        })
        .await;
    bench
        .measure("pending", async |store, _| {
            assert!(ok(store.pending(&uploader(0), day(360)).await) > 0);
        })
        .await;
    bench
        .measure("insert, reserved", async |store, number| {
            let filled = media(RESERVED + number, RESERVED + number);
            ok(store.insert(&NewMedia { fills_reservation: true, created: at(1), ..filled }).await);
        })
        .await;
    bench
        .measure("insert_thumbnail", async |store, number| {
            let source = blob_hash(200_000 + i64::try_from(number).unwrap_or_default());
            ok(store.insert_thumbnail(&NewThumbnail { source, ..thumbnail(0, 3_000_000 + number) }).await);
        })
        .await;
}

async fn sums(bench: &mut Bench) {
    bench
        .measure("usage_of_user", async |store, number| {
            assert!(ok(store.usage_of_user(&uploader(number)).await).files > 0);
        })
        .await;
    bench
        .measure("usage_of_server", async |store, number| {
            let server = if number % 2 == 0 { home() } else { server(number) };
            assert!(ok(store.usage_of_server(&server).await).files > 0);
        })
        .await;
    bench
        .measure("usage_by_user, 100", async |store, number| {
            let page = ok(store.usage_by_user(&home(), Some(&uploader(10_000 + number)), 100).await);
            assert_eq!(page.len(), 100);
        })
        .await;
    bench
        .measure("datastore_usage (least filled)", async |store, _| {
            assert!(ok(store.datastore_usage(&datastore_id("main")).await).blobs > 0);
        })
        .await;
    bench.measure("datastores", async |store, _| assert_eq!(ok(store.datastores().await).len(), 4)).await;
}

async fn upkeep(bench: &mut Bench) {
    bench
        .measure("garbage, 1000", async |store, _| {
            assert_eq!(ok(store.garbage(1000, NOW).await).len(), 1000);
        })
        .await;
    bench
        .measure("garbage and forget, 100", async |store, _| {
            let garbage = ok(store.garbage(100, NOW).await);
            ok(store.forget(&garbage).await);
        })
        .await;
    bench
        .measure("unreferenced, 1000", async |store, number| {
            let keys = (0..1000).map(|each| key_of(&format!("{:02x}/stray{each}", (number + each) % 256)));
            let keys: Vec<_> = keys.collect();
            assert_eq!(ok(store.unreferenced(&datastore_id("main"), &keys).await).len(), 1000);
        })
        .await;
    bench
        .measure("blobs_in, 1000", async |store, number| {
            let after = key_of(&format!("{number:02x}"));
            let page = ok(store.blobs_in(&datastore_id("cold"), Some(&after), 1000).await);
            assert_eq!(page.len(), 1000);
        })
        .await;
    bench
        .measure("blobs_in, 1, and relocate", async |store, number| {
            let after = key_of(&format!("{number:02x}/8"));
            let page = ok(store.blobs_in(&datastore_id("archive"), Some(&after), 1).await);
            let found = page.first().expect("one in twenty lies there");
            let to = location("main", &format!("moved/{number}"));
            assert!(ok(store.relocate(&found.blob.hash, &found.blob.location, &to, NOW).await));
        })
        .await;
    bench
        .measure("expire, 50", async |store, _| {
            assert_eq!(ok(store.expire(NOW, 50).await), 50);
        })
        .await;
}

async fn queues(bench: &mut Bench) {
    bench
        .measure("enqueue, claim, renew, finish", async |store, number| {
            let (name, now) = ("bench".to_owned(), day(365));
            let task = NewTask { name, params: "{}".to_owned(), created: now, not_before: now };
            ok(store.enqueue(&task).await);
            let claimed = ok(store.claim("node", Duration::from_mins(1), NOW).await);
            let id = claimed.unwrap_or_else(|| panic!("task {number} is due")).id;
            assert!(ok(store.renew(id, "node", NOW, "{}").await));
            assert!(ok(store.finish(id, "node", NOW, None).await));
        })
        .await;
    bench.measure("tasks, 50", async |store, _| drop(ok(store.tasks(false, None, 50).await))).await;
    bench
        .measure("try_lease", async |store, number| {
            ok(store.try_lease("lease1", "node", Duration::from_secs(1), at(number)).await);
        })
        .await;
    bench
        .measure("publish", async |store, number| ok(store.publish(&Signal::Uploaded(mxc(number))).await))
        .await;
    bench
        .measure("preview", async |store, number| {
            drop(ok(store.preview(&format!("https://example.com/{number}"), "", NOW).await));
        })
        .await;
    bench
        .measure("remove_previews, 100", async |store, _| {
            assert_eq!(ok(store.remove_previews(day(180), 100).await), 100);
        })
        .await;
}

async fn lists(bench: &mut Bench) {
    let page = |order| Page { order, descending: true, offset: 0, limit: 50 };
    let of = |number| MediaFilter { uploader: Some(uploader(number)), ..MediaFilter::default() };
    bench
        .measure("list of a user, newest 50", async |store, number| {
            ok(store.list(&of(number), &page(Order::Created)).await);
        })
        .await;
    bench
        .measure("list of a user, largest 50", async |store, number| {
            ok(store.list(&of(number + 1), &page(Order::Size)).await);
        })
        .await;
    bench
        .measure("list of a server, newest 50", async |store, number| {
            let filter = MediaFilter { origin: Some(server(number)), ..MediaFilter::default() };
            ok(store.list(&filter, &page(Order::Created)).await);
        })
        .await;
    bench
        .measure("list in quarantine, newest 50", async |store, _| {
            let filter = MediaFilter { quarantined: Some(true), ..MediaFilter::default() };
            ok(store.list(&filter, &page(Order::Created)).await);
        })
        .await;
}

async fn removals(bench: &mut Bench, samples: &Samples) {
    let filter = MediaFilter::default;
    let remote = MediaFilter { not_origins: vec![home()], not_pinned: true, ..filter() };
    let old = MediaFilter { created_before: Some(day(90)), ..remote.clone() };
    purge(bench, "purge remote older than 9 months, a step of 100", old.clone()).await;
    let unused = MediaFilter { unused_since: Some(day(270)), ..remote };
    purge(bench, "purge remote unused for 3 months, a step of 100", unused).await;
    // Another one goes past all that the first has spared, once.
    bench
        .measure("purge remote older than 9 months, first step", async |store, _| {
            assert_eq!(ok(store.list(&old, &Page { limit: 100, ..Page::default() }).await).len(), 100);
        })
        .await;
    // Few enough for some to be left.
    let expired = |at| MediaFilter { expired_at: Some(at), ..filter() };
    bench
        .measure("remove expired, 50", async |store, _| {
            assert_eq!(ok(store.remove(&expired(NOW), 50, NOW).await).mxcs.len(), 50);
        })
        .await;
    remove(bench, "remove expired, none is", |_| expired(at(0))).await;
    let of_user = |number| MediaFilter { uploader: Some(uploader(number + 1)), ..filter() };
    remove(bench, "remove of a user, 100", of_user).await;
    let of_server = |number| MediaFilter { origin: Some(server(number)), ..filter() };
    remove(bench, "remove of a server, 100", of_server).await;
    bench
        .measure("remove_thumbnails, 100", async |store, _| {
            ok(store.remove_thumbnails(&filter(), day(50), 100, NOW).await);
        })
        .await;
    let one = |number| MediaFilter { mxcs: Some(vec![samples.get(number).0.clone()]), ..filter() };
    bench
        .measure("set_quarantine by name, and lift", async |store, number| {
            let verdict = Quarantine::Impose { by: user(9), at: NOW, only_origins: None };
            ok(store.set_quarantine(&one(number), &verdict).await);
            ok(store.set_quarantine(&one(number), &Quarantine::Lift).await);
        })
        .await;
    bench
        .measure("set_quarantine by bytes", async |store, number| {
            let same = MediaFilter { hash: Some(samples.get(number).1), ..filter() };
            let verdict = Quarantine::Impose { by: user(9), at: NOW, only_origins: None };
            ok(store.set_quarantine(&same, &verdict).await);
        })
        .await;
    remove(bench, "remove by name", one).await;
}

/// Calls are the steps of one purge: each goes on behind what the one before has seen.
async fn purge(bench: &mut Bench, what: &str, filter: MediaFilter) {
    let rest = Mutex::new(filter.clone());
    bench
        .measure(what, async |store, _| {
            let from = rest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let found = ok(store.list(&from, &Page { limit: 100, ..Page::default() }).await);
            let last = found.last().expect("there is more than the steps remove");
            rest.lock().unwrap_or_else(PoisonError::into_inner).after =
                Some((last.created, last.mxc.clone()));
            let mxcs = found.into_iter().map(|record| record.mxc).collect();
            let named = MediaFilter { mxcs: Some(mxcs), ..filter.clone() };
            assert_eq!(ok(store.remove(&named, 100, NOW).await).mxcs.len(), 100);
        })
        .await;
}

async fn remove(bench: &mut Bench, what: &str, filter: impl Fn(u64) -> MediaFilter + Sync) {
    let call = async |store: &mmr_core::backend::postgres::PostgresStore, number| {
        ok(store.remove(&filter(number), 100, NOW).await);
    };
    bench.measure(what, call).await;
}
