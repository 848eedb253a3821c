//! What a file in the container of ISO base media says that it is: ISO 14496-12, 4.3.

/// A brand, such as `isom`.
pub(super) type Brand = [u8; 4];

/// Brands of pictures coded as H.265.
pub(super) const HEVC: [&Brand; 6] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"];

/// The brands of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brands<'a> {
    pub(super) major: &'a Brand,
    /// Those that the file also is.
    others: &'a [Brand],
}

impl<'a> Brands<'a> {
    /// Reads the beginning of a file; `None` where that names no brand.
    pub(super) fn of(head: &'a [u8]) -> Option<Self> {
        let length = u32::from_be_bytes(*head.first_chunk()?) as usize;
        let major = head.get(4..)?.strip_prefix(b"ftyp")?.first_chunk()?;
        // Behind a version.
        let others = head.get(16..length.min(head.len())).unwrap_or_default().as_chunks().0;
        Some(Self { major, others })
    }

    /// Whether the file is any of these.
    pub(super) fn has(&self, wanted: &[&Brand]) -> bool {
        wanted.contains(&self.major) || self.others.iter().any(|brand| wanted.contains(&brand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brands_end_where_their_box_ends() {
        let brands = Brands::of(b"\0\0\0\x18ftypmif1\0\0\0\0avifmiafheic").unwrap();
        assert!(brands.has(&[b"mif1"]) && brands.has(&[b"heic", b"miaf"]));
        assert!(!brands.has(&HEVC));
    }

    #[test]
    fn a_version_is_no_brand() {
        assert!(!Brands::of(b"\0\0\0\x14ftypisomavifmp42").unwrap().has(&[b"avif"]));
    }

    #[test]
    fn what_is_cut_short_has_the_brands_until_there() {
        let whole = b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf";
        for len in 0..whole.len() {
            let brands = Brands::of(&whole[..len]);
            assert_eq!(brands.is_some(), len >= 12, "{len}");
            assert_eq!(brands.is_some_and(|brands| brands.has(&[b"avif"])), len >= 20, "{len}");
        }
    }
}
