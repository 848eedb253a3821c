//! The two digests of a blob, computed in one pass.

use std::{fmt, str::FromStr};

use ring::digest;

/// Text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct InvalidHash;

const HEX: &[u8; 16] = b"0123456789abcdef";

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 digest bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 digest bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 64];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
                    pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                // Hexadecimal digits are ASCII.
                f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;

            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                parse_hex(text).map(Self)
            }
        }
    };
}

digest! {
    /// SHA-256 of a blob's bytes: its identity, and what moderation lists, Synapse and matrix-media-repo speak.
    ContentHash
}

digest! {
    /// BLAKE3 of a blob's bytes: integrity and ETag.
    Checksum
}

/// Both digests and the length of what was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub hash: ContentHash,
    /// BLAKE3.
    pub checksum: Checksum,
    /// Bytes hashed.
    pub len: u64,
}

/// Computes both digests over a sequence of chunks.
#[derive(Clone)]
pub struct Hasher {
    sha256: digest::Context,
    blake3: blake3::Hasher,
    len: u64,
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { sha256: digest::Context::new(&digest::SHA256), blake3: blake3::Hasher::new(), len: 0 }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.blake3.update(chunk);
        self.len += chunk.len() as u64;
    }

    /// Bytes seen so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was seen.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The digests of everything seen.
    #[must_use]
    pub fn finish(self) -> Digests {
        let mut hash = [0; 32];
        // SHA-256 has 32 bytes; the library does not know that statically.
        hash.copy_from_slice(self.sha256.finish().as_ref());
        Digests {
            hash: ContentHash(hash),
            checksum: Checksum(*self.blake3.finalize().as_bytes()),
            len: self.len,
        }
    }

    /// The digests of one whole buffer.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> Digests {
        let mut hasher = Self::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("len", &self.len).finish_non_exhaustive()
    }
}

fn parse_hex(text: &str) -> Result<[u8; 32], InvalidHash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(InvalidHash);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (nibble(pair[0])?, nibble(pair[1])?);
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

const fn nibble(digit: u8) -> Result<u8, InvalidHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(InvalidHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_of_the_empty_string() {
        let digests = Hasher::digest(b"");
        assert_eq!(
            digests.hash.to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            digests.checksum.to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn chunking_does_not_change_the_digests() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let mut hasher = Hasher::new();
        bytes.chunks(777).for_each(|chunk| hasher.update(chunk));
        assert_eq!(hasher.finish(), Hasher::digest(&bytes));
    }

    #[test]
    fn text_round_trips_and_bad_text_is_refused() {
        let hash = Hasher::digest(b"x").hash;
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        for text in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(text.parse::<ContentHash>(), Err(InvalidHash));
        }
    }
}
