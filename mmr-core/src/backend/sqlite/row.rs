//! Running statements, and reading what they answer.

use std::fmt::Display;

use ruma::OwnedUserId;
use rusqlite::{Connection, Params, Row, types::FromSql};

use super::error::{corrupt, fault};
use crate::{
    store::StoreError,
    types::{
        BlobKey, BlobLocation, BlobRecord, Checksum, ContentHash, ContentType, DatastoreId, FileName,
        MediaRecord, Mxc, Restriction, Timestamp,
    },
};

/// Runs a statement that answers nothing. Tells how many rows it changed.
pub(super) fn run(conn: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(fault)
}

/// Runs a statement to its end and reads every row.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs a query and reads its first row.
pub(super) fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    rows.next().map_err(fault)?.map(read).transpose()
}

/// Whether a query answers any row.
pub(super) fn exists(conn: &Connection, sql: &str, params: impl Params) -> Result<bool, StoreError> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.exists(params)).map_err(fault)
}

/// A number as SQLite keeps it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time as SQLite keeps it.
pub(super) fn millis(time: Timestamp) -> i64 {
    int(time.as_millis())
}

/// Reads the columns of a row one after the other.
pub(super) struct Columns<'a> {
    table: &'static str,
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(table: &'static str, row: &'a Row<'a>) -> Self {
        Self { table, row, next: 0 }
    }

    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, StoreError> {
        let index = self.next;
        self.next += 1;
        self.row.get(index).map_err(|error| corrupt(self.table, &error))
    }

    /// Reads text and makes something of it.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let (table, index) = (self.table, self.next);
        self.next += 1;
        let text = self.row.get_ref(index).map_err(|error| corrupt(table, &error))?;
        let text = text.as_str().map_err(|error| corrupt(table, &error))?;
        parse(text).map_err(|error| corrupt(table, &error))
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        u64::try_from(self.get::<i64>()?).map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.u64().map(Timestamp::from_millis)
    }

    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let millis = self.get::<Option<i64>>()?.map(u64::try_from).transpose();
        millis.map(|ms| ms.map(Timestamp::from_millis)).map_err(|error| corrupt(self.table, &error))
    }

    pub(super) fn hash(&mut self) -> Result<ContentHash, StoreError> {
        self.get().map(ContentHash::from_bytes)
    }

    pub(super) fn content_type(&mut self) -> Result<ContentType, StoreError> {
        self.get::<String>().map(|text| ContentType::new(&text))
    }

    pub(super) fn user(&mut self) -> Result<OwnedUserId, StoreError> {
        self.parse(|user| OwnedUserId::try_from(user))
    }

    /// Two columns: `origin`, `media_id`.
    pub(super) fn mxc(&mut self) -> Result<Mxc, StoreError> {
        let origin: String = self.get()?;
        self.parse(|media_id| Mxc::from_parts(&origin, media_id))
    }

    /// Two columns: `datastore`, `key`.
    pub(super) fn location(&mut self) -> Result<BlobLocation, StoreError> {
        Ok(BlobLocation { datastore: self.parse(DatastoreId::parse)?, key: self.parse(BlobKey::parse)? })
    }

    /// The five columns of `blob_columns!`.
    pub(super) fn blob(&mut self) -> Result<BlobRecord, StoreError> {
        Ok(BlobRecord {
            hash: self.hash()?,
            checksum: self.get::<Option<[u8; 32]>>()?.map(Checksum::from_bytes),
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
            file_name: self.get::<Option<String>>()?.and_then(|name| FileName::new(&name)),
            uploader: match self.get::<Option<String>>()? {
                Some(user) => Some(user.try_into().map_err(|error| corrupt(self.table, &error))?),
                None => None,
            },
            created: self.time()?,
            quarantined: self.get()?,
            requires_auth: self.get()?,
            restriction: self.get::<Option<String>>()?.map(|json| Restriction::new(&json)),
            expires: self.optional_time()?,
        })
    }
}

/// What [`Columns::blob`] reads, of `blobs b`.
macro_rules! blob_columns {
    () => {
        "b.hash, b.checksum, b.size, b.datastore, b.key"
    };
}

/// What [`Columns::media`] reads, of `media m` and `blobs b`.
macro_rules! media_columns {
    () => {
        concat!(
            "m.origin, m.media_id, ",
            crate::backend::sqlite::row::blob_columns!(),
            ", m.content_type, m.file_name, m.uploader, m.created, m.quarantined_at IS NOT NULL, ",
            "m.requires_auth, m.restriction, m.expires",
        )
    };
}

pub(super) use {blob_columns, media_columns};
