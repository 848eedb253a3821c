//! Parameters of statements, and reading what they answer.

use std::{borrow::Cow, error::Error, fmt::Display};

use ruma::OwnedUserId;
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::error::corrupt;
use crate::{
    store::StoreError,
    types::{
        BlobKey, BlobLocation, BlobRecord, Checksum, ContentHash, ContentType, DatastoreId, FileName,
        MediaRecord, Mxc, Restriction, Timestamp,
    },
};

/// A parameter. Its type is told to the server, which would have to be asked for it otherwise.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Bools(Vec<bool>),
    Bytes(Option<Cow<'a, [u8]>>),
    BytesList(Vec<Vec<u8>>),
    Int(Option<i64>),
    Ints(Vec<i64>),
    Text(Option<Cow<'a, str>>),
    Texts(Option<Vec<Cow<'a, str>>>),
    MaybeTexts(Vec<Option<Cow<'a, str>>>),
}

impl Value<'_> {
    pub(super) const fn ty(&self) -> Type {
        match self {
            Self::Bool(_) => Type::BOOL,
            Self::Bools(_) => Type::BOOL_ARRAY,
            Self::Bytes(_) => Type::BYTEA,
            Self::BytesList(_) => Type::BYTEA_ARRAY,
            Self::Int(_) => Type::INT8,
            Self::Ints(_) => Type::INT8_ARRAY,
            Self::Text(_) => Type::TEXT,
            Self::Texts(_) | Self::MaybeTexts(_) => Type::TEXT_ARRAY,
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Bool(value) => value.to_sql(ty, out),
            Self::Bools(list) => list.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.as_deref().to_sql(ty, out),
            Self::BytesList(list) => list.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Ints(list) => list.to_sql(ty, out),
            Self::Text(text) => text.as_deref().to_sql(ty, out),
            Self::Texts(list) => list.to_sql(ty, out),
            Self::MaybeTexts(list) => list.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Postgres keeps no NUL in text. Our own identifiers hold none; in free text it becomes what stands for a character
/// that cannot be shown.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(Some(number.into()))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(Some(int(time.as_millis())))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(clean(text)))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(clean))
    }
}

impl<'a> From<&'a ContentHash> for Value<'a> {
    fn from(hash: &'a ContentHash) -> Self {
        Self::Bytes(Some(Cow::Borrowed(hash.as_bytes())))
    }
}

impl<'a> From<Option<&'a Checksum>> for Value<'a> {
    fn from(checksum: Option<&'a Checksum>) -> Self {
        Self::Bytes(checksum.map(|checksum| Cow::Borrowed(&checksum.as_bytes()[..])))
    }
}

/// Many texts as one parameter.
pub(super) fn texts<'a>(list: impl IntoIterator<Item = &'a str>) -> Value<'a> {
    Value::Texts(Some(list.into_iter().map(clean).collect()))
}

/// The same, where some are missing.
pub(super) fn maybe_texts<'a>(list: impl IntoIterator<Item = Option<&'a str>>) -> Value<'a> {
    Value::MaybeTexts(list.into_iter().map(|text| text.map(clean)).collect())
}

/// A list of parameters of different kinds.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        [$($crate::backend::postgres::row::Value::from($value)),*]
    };
}

/// A number as Postgres keeps it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads the columns of a row one after the other.
pub(super) struct Columns<'a> {
    table: &'static str,
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(table: &'static str, row: &'a Row) -> Self {
        Self { table, row, next: 0 }
    }

    pub(super) fn get<T: FromSql<'a>>(&mut self) -> Result<T, StoreError> {
        let index = self.next;
        self.next += 1;
        self.row.try_get(index).map_err(|error| corrupt(self.table, &error))
    }

    /// Leaves columns out.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Whether the next column is null, as all of them are where an outer join found nothing. It stays the next.
    pub(super) fn is_null(&mut self) -> Result<bool, StoreError> {
        let null = self
            .row
            .try_get::<_, Option<Anything>>(self.next)
            .map_err(|error| corrupt(self.table, &error))?;
        Ok(null.is_none())
    }

    /// Reads text and makes something of it.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let text: &str = self.get()?;
        parse(text).map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        u64::try_from(self.get::<i64>()?).map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        u32::try_from(self.get::<i64>()?).map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.u64().map(Timestamp::from_millis)
    }

    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let millis = self.get::<Option<i64>>()?.map(u64::try_from).transpose();
        millis.map(|ms| ms.map(Timestamp::from_millis)).map_err(|error| corrupt(self.table, &error))
    }

    fn digest(&mut self) -> Result<Option<[u8; 32]>, StoreError> {
        let bytes: Option<&[u8]> = self.get()?;
        bytes.map(<[u8; 32]>::try_from).transpose().map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn hash(&mut self) -> Result<ContentHash, StoreError> {
        let digest = self.digest()?.ok_or_else(|| corrupt(self.table, &"no hash"))?;
        Ok(ContentHash::from_bytes(digest))
    }

    pub(super) fn content_type(&mut self) -> Result<ContentType, StoreError> {
        self.get().map(ContentType::new)
    }

    pub(super) fn user(&mut self) -> Result<OwnedUserId, StoreError> {
        self.parse(|user| OwnedUserId::try_from(user))
    }

    /// Two columns: `origin`, `media_id`.
    pub(super) fn mxc(&mut self) -> Result<Mxc, StoreError> {
        let origin: &str = self.get()?;
        self.parse(|media_id| Mxc::from_parts(origin, media_id))
    }

    /// Two columns: `datastore`, `key`.
    pub(super) fn location(&mut self) -> Result<BlobLocation, StoreError> {
        Ok(BlobLocation { datastore: self.parse(DatastoreId::parse)?, key: self.parse(BlobKey::parse)? })
    }

    /// The columns of `blob_columns!`.
    pub(super) fn blob(&mut self) -> Result<BlobRecord, StoreError> {
        Ok(BlobRecord {
            hash: self.hash()?,
            checksum: self.digest()?.map(Checksum::from_bytes),
            size: self.u64()?,
            location: self.location()?,
        })
    }

    /// The columns of `media_columns!`.
    pub(super) fn media(&mut self) -> Result<MediaRecord, StoreError> {
        Ok(MediaRecord {
            mxc: self.mxc()?,
            blob: self.blob()?,
            content_type: self.content_type()?,
            file_name: self.get::<Option<&str>>()?.and_then(FileName::new),
            uploader: match self.get::<Option<&str>>()? {
                Some(user) => Some(user.try_into().map_err(|error| corrupt(self.table, &error))?),
                None => None,
            },
            created: self.time()?,
            quarantined: self.get()?,
            requires_auth: self.get()?,
            restriction: self.get::<Option<&str>>()?.map(Restriction::new),
            expires: self.optional_time()?,
        })
    }
}

/// A value of whatever type, not looked at.
struct Anything;

impl FromSql<'_> for Anything {
    fn from_sql(_: &Type, _: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What [`Columns::blob`] reads, of the table called `$b`.
macro_rules! blob_columns {
    ($b:literal) => {
        concat!($b, ".hash, ", $b, ".checksum, ", $b, ".size, ", $b, ".datastore, ", $b, ".key")
    };
}
/// How many they are.
pub(super) const BLOB_COLUMNS: usize = 5;

/// What [`Columns::media`] reads, of `media m` and `blobs b`.
macro_rules! media_columns {
    () => {
        concat!(
            "m.origin, m.media_id, ",
            $crate::backend::postgres::row::blob_columns!("b"),
            ", m.content_type, m.file_name, m.uploader, m.created, m.quarantined_at IS NOT NULL, ",
            "m.requires_auth, m.restriction, m.expires",
        )
    };
}
/// How many they are.
pub(super) const MEDIA_COLUMNS: usize = 2 + BLOB_COLUMNS + 8;

pub(super) use {blob_columns, media_columns, values};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_in_free_text_becomes_a_replacement_character() {
        let Value::Text(Some(text)) = Value::from("a\0b") else { panic!("not text") };
        assert_eq!(text, "a\u{fffd}b");
    }

    #[test]
    fn the_end_of_all_time_is_the_largest_number() {
        let Value::Int(number) = Value::from(Timestamp::from_millis(u64::MAX)) else {
            panic!("not a number")
        };
        assert_eq!(number, Some(i64::MAX));
    }

    #[test]
    fn columns_are_counted_right() {
        assert_eq!(blob_columns!("b").split(", ").count(), BLOB_COLUMNS);
        assert_eq!(media_columns!().split(", ").count(), MEDIA_COLUMNS);
    }
}
