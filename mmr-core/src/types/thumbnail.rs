//! What a client asks of a thumbnail, and the key under which one is stored.

use std::fmt;
use std::str::FromStr;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// A size of `width` by `height` pixels.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The number of pixels.
    #[must_use]
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether `inner` is no larger than this size in either dimension.
    #[must_use]
    pub fn contains(self, inner: Self) -> bool {
        inner.width <= self.width && inner.height <= self.height
    }

    /// The same area turned by a quarter.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How a picture is brought into the wanted box (client-server API, thumbnails).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// The whole picture, inside the box, aspect ratio kept.
    #[default]
    Scale,
    /// The middle of the picture, with the aspect ratio of the box.
    Crop,
}

impl Method {
    /// The word of the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Crop => "crop",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is neither `scale` nor `crop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("thumbnail method is neither scale nor crop")]
pub struct UnknownMethod;

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(word: &str) -> Result<Self, UnknownMethod> {
        match word {
            "scale" => Ok(Self::Scale),
            "crop" => Ok(Self::Crop),
            _ => Err(UnknownMethod),
        }
    }
}

/// A thumbnail as a client asks for it, before policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbnailRequest {
    /// Desired width in pixels: a minimum, not a maximum.
    pub width: u32,
    /// Desired height in pixels: a minimum, not a maximum.
    pub height: u32,
    /// Scale or crop.
    pub method: Method,
    /// Whether an animated thumbnail is wanted; `None` leaves it to the policy.
    pub animated: Option<bool>,
    /// Whether a still thumbnail may be WebP: the client said that it takes it.
    pub webp: bool,
}

/// A thumbnail after policy: the key under which one is rendered, stored and shared.
///
/// Made by [`normalise`](crate::thumbnail::normalise). Width and height are the box, not the size of the
/// picture in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbnailSpec {
    /// Width of the box in pixels.
    pub width: u32,
    /// Height of the box in pixels.
    pub height: u32,
    /// Scale or crop.
    pub method: Method,
    /// What the encoded picture may be.
    pub variant: Variant,
}

/// What the encoded picture of a thumbnail may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// One frame, JPEG or PNG: what every client shows.
    #[default]
    Still,
    /// One frame, also as WebP.
    WebP,
    /// All frames, as WebP; of a source that does not move the same as [`Self::Still`].
    Animated,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Still, Self::WebP, Self::Animated];

    /// The variant that is stored under this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.as_str() == word)
    }

    /// The word under which it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Still => "still",
            Self::WebP => "webp",
            Self::Animated => "animated",
        }
    }
}

impl ThumbnailSpec {
    /// The box.
    #[must_use]
    pub const fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl fmt::Display for ThumbnailSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.size(), self.method)?;
        match self.variant {
            Variant::Still => Ok(()),
            variant => write!(f, "-{}", variant.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_the_words_of_the_specification() {
        for method in [Method::Scale, Method::Crop] {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
        for word in ["", "Scale", "CROP", "crop ", "fit"] {
            assert_eq!(word.parse::<Method>(), Err(UnknownMethod), "{word:?}");
        }
    }

    #[test]
    fn a_spec_is_shown_with_all_that_distinguishes_it() {
        let still = ThumbnailSpec { width: 320, height: 240, method: Method::Scale, variant: Variant::Still };
        let moving = ThumbnailSpec { method: Method::Crop, variant: Variant::Animated, ..still };
        assert_eq!(still.to_string(), "320x240-scale");
        assert_eq!(moving.to_string(), "320x240-crop-animated");
    }
}
