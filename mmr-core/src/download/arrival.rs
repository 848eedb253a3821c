//! Media that is still arriving.

use crate::{
    Error, Result,
    stream::{ByteStream, SpoolReader},
    types::{ContentRange, ContentType, FileName, RangeRequest},
};

/// Media of another server that has begun to arrive. Its bytes are not judged yet, so it has no digest; the last of them
/// come only when they are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrival {
    content_type: ContentType,
    file_name: Option<FileName>,
    len: Option<u64>,
    spool: SpoolReader,
}

impl Arrival {
    pub(super) const fn new(
        content_type: ContentType,
        file_name: Option<FileName>,
        len: Option<u64>,
        spool: SpoolReader,
    ) -> Self {
        Self { content_type, file_name, len, spool }
    }

    /// The origin's word about the type.
    #[must_use]
    pub const fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// The origin's name for the file.
    #[must_use]
    pub const fn file_name(&self) -> Option<&FileName> {
        self.file_name.as_ref()
    }

    /// Length in bytes, when the origin declared one.
    #[must_use]
    pub const fn declared_len(&self) -> Option<u64> {
        self.len
    }

    /// The whole body from its first byte. It ends with an error when the fetch fails.
    #[must_use]
    pub fn whole(&self) -> ByteStream {
        self.len.map_or_else(|| self.spool.read(0..u64::MAX), |len| self.spool.read(0..len).of_length(len))
    }

    /// Part of a body whose length is known; `None` when it is not, and nobody can tell yet which part that would be.
    ///
    /// Errors: [`Error::RangeNotSatisfiable`].
    #[must_use]
    pub fn part(&self, range: RangeRequest) -> Option<Result<(ContentRange, ByteStream)>> {
        let len = self.len?;
        let resolved = range.resolve(len).map_err(|error| Error::RangeNotSatisfiable { len: error.len });
        Some(resolved.map(|range| (range, self.spool.read(range.offsets()).of_length(range.selected()))))
    }
}
