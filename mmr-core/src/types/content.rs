//! The uploader's word about a file: its type and its name.

use std::fmt;

/// Longest content type kept, in bytes.
const MAX_CONTENT_TYPE: usize = 255;
/// Longest file name kept, in bytes.
const MAX_FILE_NAME: usize = 1024;
const OCTET_STREAM: &str = "application/octet-stream";

/// Types that may be shown inside a page ([spec], "Serving inline content").
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
const INLINE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// A media type as it was uploaded, fit to stand in a header: visible ASCII and spaces, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentType(Box<str>);

impl ContentType {
    /// Keeps `text` verbatim; what is empty, has no `/`, or could not stand in a header becomes
    /// `application/octet-stream`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let ok = text.len() <= MAX_CONTENT_TYPE
            && text.bytes().all(|b| (b' '..=b'~').contains(&b))
            && text.split_once('/').is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty());
        if ok { Self(text.into()) } else { Self::default() }
    }

    /// The type as it was uploaded, parameters included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type without parameters, as it was spelled.
    #[must_use]
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }

    /// Whether browsers may show it inside a page. Case and parameters do not matter.
    #[must_use]
    pub fn is_inline_safe(&self) -> bool {
        let essence = self.essence();
        INLINE.iter().any(|allowed| allowed.eq_ignore_ascii_case(essence))
    }
}

impl Default for ContentType {
    fn default() -> Self {
        Self(OCTET_STREAM.into())
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The uploader's name for a file: any Unicode but control characters, at most 1024 bytes.
///
/// It is shown to people, and never used to find anything.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Keeps `text` without control characters, cut to 1024 bytes. `None` when nothing is left.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut name: String = text.chars().filter(|c| !c.is_control()).collect();
        if name.len() > MAX_FILE_NAME {
            let end = (0..=MAX_FILE_NAME).rev().find(|&i| name.is_char_boundary(i)).unwrap_or(0);
            name.truncate(end);
        }
        (!name.is_empty()).then(|| Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_kept_as_it_was_uploaded() {
        assert_eq!(ContentType::new("Text/HTML; charset=x").as_str(), "Text/HTML; charset=x");
        assert_eq!(ContentType::new("Text/HTML ; charset=x").essence(), "Text/HTML");
    }

    #[test]
    fn a_type_that_could_not_stand_in_a_header_is_octet_stream() {
        for text in [
            "",
            "png",
            "image/",
            "/png",
            "image/png\r\nX: y",
            "image/pñg",
            &format!("image/{}", "x".repeat(255)),
        ] {
            assert_eq!(ContentType::new(text), ContentType::default(), "{text:?}");
        }
    }

    #[test]
    fn inline_types_match_in_any_case_and_with_parameters() {
        assert!(ContentType::new("IMAGE/PNG; x=y").is_inline_safe());
        for text in
            ["image/svg+xml", "text/html", "application/pdf", "application/xml", "application/octet-stream"]
        {
            assert!(!ContentType::new(text).is_inline_safe(), "{text}");
        }
    }

    #[test]
    fn file_names_lose_control_characters_and_keep_the_rest() {
        assert_eq!(FileName::new("a\r\nb\0/ü\".png").unwrap().as_str(), "ab/ü\".png");
        assert_eq!(FileName::new("\r\n"), None);
        assert_eq!(FileName::new(&"ü".repeat(2000)).unwrap().as_str().len(), 1024);
    }
}
