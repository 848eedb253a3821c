//! The keys that local homeservers sign with.

use std::{collections::HashMap, fmt, sync::Arc};

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::encoding;

mod files;

/// Length of a generated version.
const VERSION_LEN: usize = 6;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An Ed25519 key with the version under which its homeserver publishes it ([spec]). Cheap to clone.
///
/// Nothing but [`SigningKeys::write`] shows the secret.
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    /// `ed25519:VERSION`.
    id: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

/// One key or several, of which the first signs; no two have the same version.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    first: SigningKey,
    others: Vec<SigningKey>,
}

/// How a file of signing keys is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFormat {
    /// PEM blocks `MMR PRIVATE KEY` with the headers `Key-ID: ed25519:VERSION` and `Version: 1`, of 32 bytes.
    Mmr,
    /// A line `ed25519 VERSION SEED` per key, the seed of 32 bytes in base64.
    Synapse,
    /// PEM blocks `MATRIX PRIVATE KEY` with the header `Key-ID: ed25519:VERSION`, of 32 bytes.
    Dendrite,
}

/// Why keys cannot be read or put together. Never shows what stands in a file except versions, which are public.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyFile {
    /// Something is wrong in a line.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// There is no key.
    #[error(
        "there is no signing key in it; accepted are lines `ed25519 VERSION SEED` (Synapse) and the blocks \
         `MATRIX PRIVATE KEY` (Dendrite) and `MMR PRIVATE KEY` (matrix-media-repo)"
    )]
    Empty,
    /// Two files have a key of the same version.
    #[error(
        "both {first} and {second} have a key of version {version}; a homeserver can publish only one of them"
    )]
    Duplicate {
        /// The version.
        version: String,
        /// The name of one file.
        first: String,
        /// The name of the other.
        second: String,
    },
}

impl SigningKey {
    /// The key of this seed. `None` unless the version is made of `A-Z a-z 0-9 _`.
    #[must_use]
    pub fn from_seed(version: &str, seed: [u8; 32]) -> Option<Self> {
        let valid = !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        // A seed of 32 bytes is never refused.
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        valid.then(|| Self(Arc::new(Inner { id: format!("ed25519:{version}"), seed, pair })))
    }

    /// A new key with a random version, from the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system's random generator works");
        Self::from_seed(&random_version(), seed).expect("letters and digits are a version")
    }

    /// `ed25519:VERSION`, as others know the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The part of the id that its owner chose.
    #[must_use]
    pub fn version(&self) -> &str {
        self.id().strip_prefix("ed25519:").unwrap_or_default()
    }

    /// The public half in unpadded base64, as homeservers publish it.
    #[must_use]
    pub fn public_key(&self) -> String {
        encoding::encode(self.0.pair.public_key().as_ref())
    }

    /// The signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.pair.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// A single key.
    #[must_use]
    pub const fn single(key: SigningKey) -> Self {
        Self { first: key, others: Vec::new() }
    }

    /// Reads a file of any [`KeyFormat`].
    ///
    /// Errors: [`InvalidKeyFile::Line`], [`InvalidKeyFile::Empty`].
    pub fn parse(text: &str) -> Result<Self, InvalidKeyFile> {
        let mut seen = HashMap::new();
        let mut keys = Vec::new();
        for (line, key) in files::parse(text)? {
            if let Some(earlier) = seen.insert(key.version().to_owned(), line) {
                let problem = format!("the key of line {earlier} has the same version");
                return Err(InvalidKeyFile::Line { line, problem });
            }
            keys.push(key);
        }
        Self::from_vec(keys)
    }

    /// The text of a file.
    #[must_use]
    pub fn write(&self, format: KeyFormat) -> String {
        self.iter().map(|key| files::write(key, format)).collect()
    }

    /// The keys of all `files`, which go by their names, in order.
    ///
    /// Errors: [`InvalidKeyFile::Duplicate`], [`InvalidKeyFile::Empty`].
    pub fn combine(files: impl IntoIterator<Item = (String, Self)>) -> Result<Self, InvalidKeyFile> {
        let mut owners: HashMap<String, String> = HashMap::new();
        let mut keys = Vec::new();
        for (name, file) in files {
            for key in file.iter() {
                let version = key.version().to_owned();
                if let Some(first) = owners.insert(version.clone(), name.clone()) {
                    return Err(InvalidKeyFile::Duplicate { version, first, second: name });
                }
                keys.push(key.clone());
            }
        }
        Self::from_vec(keys)
    }

    /// The key to sign with.
    #[must_use]
    pub const fn first(&self) -> &SigningKey {
        &self.first
    }

    /// All keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn from_vec(keys: Vec<SigningKey>) -> Result<Self, InvalidKeyFile> {
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(InvalidKeyFile::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }
}

impl KeyFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Mmr, Self::Synapse, Self::Dendrite];
}

/// Every letter and digit with the same probability: bytes that would favour the first ones are thrown away.
fn random_version() -> String {
    let mut version = String::with_capacity(VERSION_LEN);
    while version.len() < VERSION_LEN {
        let mut byte = [0];
        getrandom::fill(&mut byte).expect("the operating system's random generator works");
        if let Some(&letter) = ALPHABET.get(usize::from(byte[0] & 63)) {
            version.push(char::from(letter));
        }
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's appendix on signing JSON.
    pub(super) const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

    fn key(version: &str) -> SigningKey {
        SigningKey::from_seed(version, encoding::decode(SEED.as_bytes()).unwrap()).unwrap()
    }

    fn file(versions: &[&str]) -> SigningKeys {
        SigningKeys::from_vec(versions.iter().map(|version| key(version)).collect()).unwrap()
    }

    #[test]
    fn the_examples_of_the_specification_are_signed_as_it_says() {
        for (text, signature) in [
            ("{}", "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
            (
                r#"{"one":1,"two":"Two"}"#,
                "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
            ),
        ] {
            let object = serde_json::from_str(text).unwrap();
            let signed = key("1").sign(encoding::signed_text(&object).as_bytes());
            assert_eq!(encoding::encode(&signed), signature);
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?} {:#?}", key("1"), file(&["1"]));
        assert!(shown.contains("ed25519:1"));
        assert!(!shown.contains(&SEED[..8]) && !shown.contains("seed"), "{shown}");
    }

    #[test]
    fn generated_keys_differ_and_have_versions_of_six_letters_and_digits() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        assert!(one.0.seed != two.0.seed && one.id() != two.id());
        assert_eq!(one.version().len(), 6);
        assert!(one.version().bytes().all(|b| b.is_ascii_alphanumeric()), "{one:?}");
    }

    #[test]
    fn versions_are_letters_digits_and_underscores() {
        for version in ["", "a b", "a:b", "a-b", "é", "a\n"] {
            assert!(SigningKey::from_seed(version, [0; 32]).is_none(), "{version:?}");
        }
        assert!(SigningKey::from_seed("a_Xy9", [0; 32]).is_some());
    }

    #[test]
    fn keys_of_several_files_are_combined_in_order() {
        let files = [("one".to_owned(), file(&["a", "b"])), ("two".to_owned(), file(&["c"]))];
        let all = SigningKeys::combine(files).unwrap();
        assert_eq!(all.iter().map(SigningKey::version).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(all.first().version(), "a");
    }

    #[test]
    fn two_files_with_the_same_version_are_not_combined() {
        let files = [("one".to_owned(), file(&["a", "b"])), ("two".to_owned(), file(&["b"]))];
        let error = SigningKeys::combine(files).unwrap_err();
        let (version, first, second) = ("b".to_owned(), "one".to_owned(), "two".to_owned());
        assert_eq!(error, InvalidKeyFile::Duplicate { version, first, second });
    }
}
