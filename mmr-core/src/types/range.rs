//! Byte ranges ([RFC 9110 section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

use std::ops::Range;

/// A range asked for, before the length is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeRequest {
    /// Everything: no range, or one that is to be ignored.
    #[default]
    Whole,
    /// `bytes=first-` or `bytes=first-last`, both inclusive.
    From {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte; `None` is the real end.
        last: Option<u64>,
    },
    /// `bytes=-n`: the last `n` bytes.
    Suffix(u64),
}

/// What a range request selects from a body of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// The whole body of `len` bytes.
    Whole {
        /// Length of the body in bytes.
        len: u64,
    },
    /// Bytes `start..end` of `len`.
    Part {
        /// Offset of the first byte.
        start: u64,
        /// Offset behind the last byte.
        end: u64,
        /// Length of the whole body in bytes.
        len: u64,
    },
}

/// The range starts behind the end of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("range is outside the {len} stored bytes")]
pub struct Unsatisfiable {
    /// Length of the whole body in bytes.
    pub len: u64,
}

impl RangeRequest {
    /// Parses the value of a `Range` header.
    ///
    /// Several ranges, other units and bad syntax all mean [`RangeRequest::Whole`]: RFC 9110 lets a server
    /// ignore a `Range` that it does not support, and asks it to ignore an invalid one.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        Self::parse_single(value).unwrap_or_default()
    }

    fn parse_single(value: &str) -> Option<Self> {
        let (unit, set) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() { None } else { Some(number(last)?) };
        last.is_none_or(|last| first <= last).then_some(Self::From { first, last })
    }

    /// Selects from a body of `len` bytes. An end behind the body is cut to the body.
    pub fn resolve(self, len: u64) -> Result<ContentRange, Unsatisfiable> {
        match self {
            Self::Whole => Ok(ContentRange::Whole { len }),
            Self::From { first, .. } if first >= len => Err(Unsatisfiable { len }),
            Self::From { first, last } => {
                let end = last.map_or(len, |last| last.saturating_add(1).min(len));
                Ok(ContentRange::Part { start: first, end, len })
            }
            Self::Suffix(0) => Err(Unsatisfiable { len }),
            Self::Suffix(_) if len == 0 => Err(Unsatisfiable { len }),
            Self::Suffix(n) => Ok(ContentRange::Part { start: len.saturating_sub(n), end: len, len }),
        }
    }
}

impl ContentRange {
    /// The selected offsets.
    #[must_use]
    pub const fn offsets(&self) -> Range<u64> {
        match *self {
            Self::Whole { len } => 0..len,
            Self::Part { start, end, .. } => start..end,
        }
    }

    /// Number of selected bytes.
    #[must_use]
    pub const fn selected(&self) -> u64 {
        match *self {
            Self::Whole { len } => len,
            Self::Part { start, end, .. } => end - start,
        }
    }

    /// The offsets when only a part is selected.
    #[must_use]
    pub const fn part(&self) -> Option<Range<u64>> {
        match *self {
            Self::Whole { .. } => None,
            Self::Part { start, end, .. } => Some(start..end),
        }
    }
}

/// Digits only (`parse` would take a sign). A number too large for 64 bits lies behind every body.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(value: &str, len: u64) -> Result<Range<u64>, Unsatisfiable> {
        RangeRequest::parse(value).resolve(len).map(|range| range.offsets())
    }

    #[test]
    fn closed_open_and_suffix_ranges_select_what_the_rfc_says() {
        assert_eq!(resolve("bytes=0-0", 10), Ok(0..1));
        assert_eq!(resolve("bytes=2-5", 10), Ok(2..6));
        assert_eq!(resolve("bytes=3-", 10), Ok(3..10));
        assert_eq!(resolve("bytes=-4", 10), Ok(6..10));
    }

    #[test]
    fn an_end_behind_the_body_is_cut_to_the_body() {
        assert_eq!(resolve("bytes=8-99", 10), Ok(8..10));
        assert_eq!(resolve("bytes=-99", 10), Ok(0..10));
        assert_eq!(resolve("bytes=8-99999999999999999999999", 10), Ok(8..10));
    }

    #[test]
    fn a_start_behind_the_body_cannot_be_satisfied() {
        for value in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(resolve(value, 10), Err(Unsatisfiable { len: 10 }), "{value}");
        }
        assert_eq!(resolve("bytes=0-", 0), Err(Unsatisfiable { len: 0 }));
        assert_eq!(resolve("bytes=-1", 0), Err(Unsatisfiable { len: 0 }));
    }

    #[test]
    fn what_cannot_be_honoured_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-1,3-4",
        ] {
            assert_eq!(RangeRequest::parse(value), RangeRequest::Whole, "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_resolved_range_lies_inside_the_body(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", len in 0u64..) {
            if let Ok(range) = RangeRequest::parse(&value).resolve(len) {
                let offsets = range.offsets();
                proptest::prop_assert!(offsets.start <= offsets.end && offsets.end <= len);
                proptest::prop_assert_eq!(range.selected(), offsets.end - offsets.start);
            }
        }
    }
}
