//! Values that cross the seams. Parsed at the edge, free of I/O.

mod blob;
mod caller;
mod content;
mod hash;
mod lookup;
mod mxc;
mod range;
mod record;
mod thumbnail;
mod time;

pub use self::{
    blob::{BlobKey, BlobLocation, BlobRecord, DatastoreId, InvalidKey, MediaKind},
    caller::Caller,
    content::{ContentType, FileName},
    hash::{Checksum, ContentHash, Digests, Hasher, InvalidHash},
    lookup::Lookup,
    mxc::{InvalidMxc, MediaId, Mxc},
    range::{ContentRange, RangeRequest, Unsatisfiable},
    record::{MediaRecord, Reservation, Restriction, ThumbnailRecord},
    thumbnail::{Method, Size, ThumbnailRequest, ThumbnailSpec, UnknownMethod, Variant},
    time::Timestamp,
};
