//! Promises of [`MediaIndex::list`](crate::store::MediaIndex::list), and of filters wherever they are used.

use super::{
    fixtures::{at, blob, hash, media, mxc, mxc_of, ok, user},
    media::{put, quarantine, selected},
};
use crate::store::{Attributes, MediaFilter, MediaStore, NewMedia, Order, Page};

fn page(limit: u32) -> Page {
    Page { limit, ..Page::default() }
}

/// Nine media in which each filter has something to find.
async fn variety(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, NewMedia { uploader: Some(user(1)), ..media(2, 1) }).await;
    put(store, NewMedia { expires: Some(at(40)), ..media(3, 2) }).await;
    put(store, NewMedia { mxc: mxc_of("a.example", 4), uploader: None, ..media(4, 3) }).await;
    put(store, NewMedia { mxc: mxc_of("b.example", 5), uploader: None, ..media(5, 900) }).await;
    put(store, media(6, 5)).await;
    quarantine(store, mxc(6)).await;
    put(store, media(7, 6)).await;
    ok(store.set_attributes(&mxc(7), &Attributes { pinned: true }).await);
    ok(store.touch(&[(hash(1), at(100))]).await);
}

/// Each condition alone leaves just what it says.
pub async fn each_condition_of_a_filter_selects_by_itself(store: &dyn MediaStore) {
    variety(store).await;
    let (a, b) = (mxc_of("a.example", 4), mxc_of("b.example", 5));
    let none = MediaFilter::default;
    let names = |numbers: &[u64]| numbers.iter().map(|n| mxc(*n)).collect::<Vec<_>>();
    let cases = [
        (MediaFilter { mxcs: Some(vec![]), ..none() }, vec![]),
        (
            MediaFilter { mxcs: Some(vec![mxc(3), b.clone(), mxc(99), mxc(3)]), ..none() },
            vec![mxc(3), b.clone()],
        ),
        (MediaFilter { origin: Some(a.origin().to_owned()), ..none() }, vec![a.clone()]),
        (
            MediaFilter { not_origins: vec![mxc(0).origin().to_owned(), b.origin().to_owned()], ..none() },
            vec![a.clone()],
        ),
        (MediaFilter { uploader: Some(user(1)), ..none() }, names(&[2])),
        (MediaFilter { hash: Some(hash(1)), ..none() }, names(&[1, 2])),
        (MediaFilter { hash: Some(hash(77)), ..none() }, vec![]),
        (MediaFilter { after: Some((at(6), mxc(6))), ..none() }, names(&[7])),
        (MediaFilter { after: Some((at(6), mxc(1))), ..none() }, names(&[6, 7])),
        (MediaFilter { after: Some((at(5), mxc(999))), ..none() }, names(&[6, 7])),
        (MediaFilter { created_before: Some(at(3)), ..none() }, names(&[1, 2])),
        (MediaFilter { unused_since: Some(at(4)), ..none() }, names(&[3])),
        (MediaFilter { expired_at: Some(at(39)), ..none() }, vec![]),
        (MediaFilter { expired_at: Some(at(40)), ..none() }, names(&[3])),
        (MediaFilter { larger_than: Some(blob(900).size), ..none() }, vec![]),
        (MediaFilter { larger_than: Some(blob(900).size - 1), ..none() }, vec![b.clone()]),
        (MediaFilter { quarantined: Some(true), ..none() }, names(&[6])),
        (MediaFilter { quarantined: Some(false), created_before: Some(at(3)), ..none() }, names(&[1, 2])),
        (MediaFilter { not_pinned: true, hash: Some(hash(6)), ..none() }, vec![]),
        (MediaFilter { not_pinned: false, hash: Some(hash(6)), ..none() }, names(&[7])),
    ];
    for (filter, expected) in cases {
        assert_eq!(selected(store, &filter).await, expected, "{filter:?}");
    }
    assert_eq!(selected(store, &none()).await.len(), 7);
}

/// Conditions narrow each other.
pub async fn conditions_of_a_filter_hold_together(store: &dyn MediaStore) {
    variety(store).await;
    let filter = MediaFilter {
        origin: Some(mxc(0).origin().to_owned()),
        uploader: Some(user(0)),
        created_before: Some(at(7)),
        quarantined: Some(false),
        larger_than: Some(blob(1).size),
        ..MediaFilter::default()
    };
    assert_eq!(selected(store, &filter).await, [mxc(3)]);
}

/// Orders, both ways, with equal keys in the order of names.
pub async fn a_list_is_ordered_with_ties_by_name(store: &dyn MediaStore) {
    // Created, bytes (and so size), last read.
    for (name, created, bytes, read) in [(3, 10, 1, 0), (1, 10, 2, 90), (2, 30, 2, 90), (4, 20, 3, 25)] {
        put(store, NewMedia { created: at(created), ..media(name, bytes) }).await;
        ok(store.touch(&[(hash(bytes), at(read))]).await);
    }
    for (order, ascending, descending) in [
        (Order::Created, [1, 3, 4, 2], [2, 4, 1, 3]),
        (Order::Size, [3, 1, 2, 4], [4, 1, 2, 3]),
        (Order::LastRead, [3, 4, 1, 2], [1, 2, 4, 3]),
        (Order::Mxc, [1, 2, 3, 4], [4, 3, 2, 1]),
    ] {
        for (descending, expected) in [(false, ascending), (true, descending)] {
            let page = Page { order, descending, offset: 0, limit: 9 };
            let listed = ok(store.list(&MediaFilter::default(), &page).await);
            let listed: Vec<_> = listed.into_iter().map(|record| record.mxc).collect();
            assert_eq!(listed, expected.map(mxc), "{page:?}");
        }
    }
}

/// Names go bytewise by server, then by media ID, not by the text of the URI.
pub async fn names_are_ordered_by_server_first(store: &dyn MediaStore) {
    let names = [mxc_of("a", 2), mxc_of("a-b", 1), mxc_of("a.b", 1)];
    for (bytes, mxc) in (1..).zip(names.iter().rev()) {
        put(store, NewMedia { mxc: mxc.clone(), ..media(1, bytes) }).await;
    }
    assert_eq!(selected(store, &MediaFilter::default()).await, names);
}

/// Pages are windows of one list.
pub async fn pages_of_a_list_join_without_gaps(store: &dyn MediaStore) {
    for name in 0..10 {
        put(store, media(name, name)).await;
    }
    let mut joined = Vec::new();
    for offset in (0..12).step_by(3) {
        let page = Page { offset, limit: 3, ..Page::default() };
        joined.extend(ok(store.list(&MediaFilter::default(), &page).await));
    }
    assert_eq!(joined, ok(store.list(&MediaFilter::default(), &page(100)).await));
    assert_eq!(ok(store.list(&MediaFilter::default(), &page(0)).await), []);
    let far = Page { offset: u64::MAX, limit: 1, ..Page::default() };
    assert_eq!(ok(store.list(&MediaFilter::default(), &far).await), []);
}

/// A filter takes as many names as a caller has.
pub async fn a_filter_takes_thousands_of_names(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let filter = MediaFilter { mxcs: Some((1..40_000).map(mxc).collect()), ..MediaFilter::default() };
    assert_eq!(selected(store, &filter).await, [mxc(1)]);
}
