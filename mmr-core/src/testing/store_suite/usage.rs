//! Promises of [`UsageIndex`](crate::store::UsageIndex).

use ruma::OwnedUserId;

use super::{
    fixtures::{at, blob, link, media, mxc_of, ok, user},
    media::{only, put},
};
use crate::store::{MediaFilter, MediaStore, MediaUsage, NewMedia, NewThumbnail, UserUsage};

fn sum(blobs: &[u64]) -> MediaUsage {
    MediaUsage { files: blobs.len() as u64, bytes: blobs.iter().map(|bytes| blob(*bytes).size).sum() }
}

/// A user's sum counts each of their media, shared bytes too, on whatever server.
pub async fn the_sum_of_a_user_counts_every_media_of_theirs(store: &dyn MediaStore) {
    let mine = put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    put(store, NewMedia { mxc: mxc_of("elsewhere.example", 3), ..media(3, 3) }).await;
    put(store, NewMedia { uploader: Some(user(1)), ..media(4, 4) }).await;
    assert_eq!(ok(store.usage_of_user(&user(0)).await), sum(&[1, 1, 3]));
    ok(store.remove(&only(&mine.mxc), 1, at(50)).await);
    assert_eq!(ok(store.usage_of_user(&user(0)).await), sum(&[1, 3]));
    ok(store.remove(&MediaFilter::default(), 9, at(50)).await);
    assert_eq!(ok(store.usage_of_user(&user(0)).await), sum(&[]));
}

/// A server's sum counts media of its name, whoever uploaded it; thumbnails are not media.
pub async fn the_sum_of_a_server_counts_every_media_of_its_name(store: &dyn MediaStore) {
    let remote = mxc_of("remote.example", 2);
    put(store, media(1, 1)).await;
    put(store, NewMedia { mxc: remote.clone(), uploader: None, ..link(2, 1) }).await;
    put(store, NewMedia { uploader: None, ..media(3, 3) }).await;
    let thumbnail = NewThumbnail { ..super::fixtures::thumbnail(1, 9) };
    ok(store.insert_thumbnail(&thumbnail).await);
    assert_eq!(ok(store.usage_of_server(media(0, 0).mxc.origin()).await), sum(&[1, 3]));
    assert_eq!(ok(store.usage_of_server(remote.origin()).await), sum(&[1]));
    ok(store.remove(&only(&remote), 1, at(50)).await);
    assert_eq!(ok(store.usage_of_server(remote.origin()).await), sum(&[]));
}

/// Users come in the order of their IDs, a page at a time, without those who have nothing.
pub async fn users_are_listed_with_their_sums(store: &dyn MediaStore) {
    let stranger: OwnedUserId = "@a:remote.example".try_into().expect("a valid ID");
    for (name, uploader) in (1..).zip([user(3), user(1), user(2), user(1), stranger]) {
        put(store, NewMedia { uploader: Some(uploader), ..media(name, name) }).await;
    }
    ok(store.remove(&only(&media(3, 3).mxc), 1, at(50)).await);
    let origin = media(0, 0).mxc.origin().to_owned();
    let expected =
        [UserUsage { user: user(1), usage: sum(&[2, 4]) }, UserUsage { user: user(3), usage: sum(&[1]) }];
    assert_eq!(ok(store.usage_by_user(&origin, None, 9).await), expected);
    assert_eq!(ok(store.usage_by_user(&origin, None, 1).await), expected[..1]);
    assert_eq!(ok(store.usage_by_user(&origin, Some(&user(1)), 9).await), expected[1..]);
    assert_eq!(ok(store.usage_by_user(&origin, Some(&user(3)), 9).await), []);
    assert_eq!(ok(store.usage_by_user(mxc_of("c.example", 0).origin(), None, 9).await), []);
}
