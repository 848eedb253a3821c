//! Rows that differ by a number, so that a test can tell them apart.

use std::time::Duration;

use ruma::OwnedUserId;

use crate::{
    store::{NewBlob, NewMedia, NewThumbnail, QuotaCap, StoreError},
    types::{
        BlobKey, BlobLocation, BlobRecord, ContentHash, ContentType, DatastoreId, Digests, Hasher, Method,
        Mxc, Reservation, ThumbnailSpec, Timestamp, Variant,
    },
};

/// The moment that a store's fixtures count from.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The answer, or a panic that shows the error.
#[track_caller]
pub fn ok<T>(answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|error| panic!("the store failed: {error:?}"))
}

/// So many seconds behind [`START`].
#[must_use]
pub fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// An MXC URI of `example.org`.
#[must_use]
pub fn mxc(name: u64) -> Mxc {
    mxc_of("example.org", name)
}

/// An MXC URI of some server.
#[must_use]
pub fn mxc_of(origin: &str, name: u64) -> Mxc {
    Mxc::from_parts(origin, &format!("media{name:04}")).expect("the name is inside the grammar")
}

/// A user of `example.org`.
#[must_use]
pub fn user(number: u64) -> OwnedUserId {
    format!("@user{number}:example.org").try_into().expect("the ID is inside the grammar")
}

/// SHA-256 of bytes that nobody else has.
#[must_use]
pub fn hash(bytes: u64) -> ContentHash {
    digests(bytes).hash
}

fn digests(bytes: u64) -> Digests {
    Hasher::digest(&bytes.to_le_bytes())
}

/// A place in a datastore.
#[must_use]
pub fn location(datastore: &str, key: &str) -> BlobLocation {
    BlobLocation { datastore: datastore_id(datastore), key: key_of(key) }
}

/// A datastore's ID.
#[must_use]
pub fn datastore_id(text: &str) -> DatastoreId {
    DatastoreId::parse(text).expect("the ID is valid")
}

/// An object's key.
#[must_use]
pub fn key_of(text: &str) -> BlobKey {
    BlobKey::parse(text).expect("the key is inside the grammar")
}

/// `1000 + bytes` bytes in the datastore `main`.
#[must_use]
pub fn blob(bytes: u64) -> BlobRecord {
    let Digests { hash, checksum, .. } = digests(bytes);
    let location = location("main", &format!("aa/{bytes}"));
    BlobRecord { hash, checksum: Some(checksum), size: 1000 + bytes, location }
}

/// The same bytes as [`blob`]'s, in another place.
#[must_use]
pub fn blob_at(bytes: u64, location: BlobLocation) -> NewBlob {
    NewBlob::Store(BlobRecord { location, ..blob(bytes) })
}

/// A picture by [`user`] 0, stored `name` seconds behind [`START`], open to everybody for ever.
#[must_use]
pub fn media(name: u64, bytes: u64) -> NewMedia {
    NewMedia {
        mxc: mxc(name),
        blob: NewBlob::Store(blob(bytes)),
        content_type: ContentType::new("image/png"),
        file_name: None,
        uploader: Some(user(0)),
        created: at(name),
        requires_auth: false,
        restriction: None,
        expires: None,
        fills_reservation: false,
        quota: QuotaCap::default(),
    }
}

/// The same with bytes that should be stored already.
#[must_use]
pub fn link(name: u64, bytes: u64) -> NewMedia {
    NewMedia { blob: NewBlob::Link(hash(bytes)), ..media(name, bytes) }
}

/// A name in the hands of `owner` from [`START`] until `expires` seconds later.
#[must_use]
pub fn reservation(name: u64, owner: u64, expires: u64) -> Reservation {
    Reservation { mxc: mxc(name), owner: user(owner), created: START, expires: at(expires) }
}

/// A request for a picture of this size.
#[must_use]
pub fn spec(width: u32, height: u32) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method: Method::Scale, variant: Variant::Still }
}

/// A thumbnail of 32x32, rendered at [`START`].
#[must_use]
pub fn thumbnail(source: u64, bytes: u64) -> NewThumbnail {
    NewThumbnail {
        source: hash(source),
        spec: spec(32, 32),
        blob: NewBlob::Store(blob(bytes)),
        content_type: ContentType::new("image/jpeg"),
        width: 32,
        height: 24,
        created: START,
    }
}
