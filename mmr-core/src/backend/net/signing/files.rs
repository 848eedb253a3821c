//! Files of signing keys, as three kinds of software write them.

use super::{InvalidKeyFile, KeyFormat, SigningKey};
use crate::backend::net::encoding;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const DENDRITE: &str = "MATRIX PRIVATE KEY";
const MMR: &str = "MMR PRIVATE KEY";

type Lines<'t> = std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'t>>>;

/// The keys of a file of any format, each with its line.
pub(super) fn parse(text: &str) -> Result<Vec<(usize, SigningKey)>, InvalidKeyFile> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().any(|line| line.trim().starts_with(BEGIN)) { parse_pem(text) } else { parse_lines(text) }
}

pub(super) fn write(key: &SigningKey, format: KeyFormat) -> String {
    let (id, version, seed) = (key.id(), key.version(), &key.0.seed);
    match format {
        KeyFormat::Synapse => format!("ed25519 {version} {}\n", encoding::encode(seed)),
        KeyFormat::Dendrite => write_block(DENDRITE, &format!("Key-ID: {id}\n"), seed),
        KeyFormat::Mmr => write_block(MMR, &format!("Key-ID: {id}\nVersion: 1\n"), seed),
    }
}

/// PEM pads its base64, and 32 bytes take 43 characters.
fn write_block(label: &str, headers: &str, seed: &[u8; 32]) -> String {
    format!("{BEGIN}{label}{DASHES}\n{headers}\n{}=\n{END}{label}{DASHES}\n", encoding::encode(seed))
}

fn problem(line: usize, problem: &str) -> InvalidKeyFile {
    InvalidKeyFile::Line { line, problem: problem.to_owned() }
}

fn parse_lines(text: &str) -> Result<Vec<(usize, SigningKey)>, InvalidKeyFile> {
    let mut keys = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let mut fields = text.split_ascii_whitespace();
        let (algorithm, version, seed) = (fields.next(), fields.next(), fields.next());
        let (Some(algorithm), Some(version), Some(seed), None) = (algorithm, version, seed, fields.next())
        else {
            return Err(problem(line, "accepted is `ed25519 VERSION SEED`"));
        };
        if algorithm != "ed25519" {
            return Err(problem(line, "the algorithm must be ed25519: accepted is `ed25519 VERSION SEED`"));
        }
        let seed = encoding::decode(seed.as_bytes())
            .ok_or_else(|| problem(line, "the seed must be 32 bytes in base64"))?;
        keys.push((line, key(line, version, seed)?));
    }
    Ok(keys)
}

/// Blocks of other software are left alone, as matrix-media-repo does; other text between blocks is not.
fn parse_pem(text: &str) -> Result<Vec<(usize, SigningKey)>, InvalidKeyFile> {
    let mut keys = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, text)) = lines.next() {
        let line = index + 1;
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let label = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES));
        let Some(label) = label else {
            return Err(problem(line, "nothing may stand outside of the blocks `-----BEGIN …-----`"));
        };
        let block = Block::read(&mut lines, line, label)?;
        if matches!(label, DENDRITE | MMR) {
            keys.push((line, block.key(label)?));
        }
    }
    Ok(keys)
}

struct Block<'t> {
    line: usize,
    headers: Vec<(usize, &'t str, &'t str)>,
    base64: String,
}

impl<'t> Block<'t> {
    fn read(lines: &mut Lines<'t>, line: usize, label: &str) -> Result<Self, InvalidKeyFile> {
        let mut block = Self { line, headers: Vec::new(), base64: String::new() };
        for (index, text) in lines.by_ref() {
            let text = text.trim();
            if let Some(end) = text.strip_prefix(END) {
                return match end.strip_suffix(DASHES) {
                    Some(end) if end == label => Ok(block),
                    _ => Err(problem(index + 1, "the block that began last must end first")),
                };
            }
            match text.split_once(':') {
                Some((name, value)) if block.base64.is_empty() => {
                    block.headers.push((index + 1, name.trim(), value.trim()));
                }
                _ => block.base64 += text,
            }
        }
        Err(problem(line, "the block has no end; accepted is a line `-----END …-----` with the same name"))
    }

    fn key(&self, label: &str) -> Result<SigningKey, InvalidKeyFile> {
        if label == MMR {
            let (line, version) = self.header("Version").unwrap_or((self.line, ""));
            if version != "1" {
                return Err(problem(line, "accepted is the header `Version: 1`"));
            }
        }
        let (line, id) = self.header("Key-ID").unwrap_or((self.line, ""));
        let version = id
            .strip_prefix("ed25519:")
            .ok_or_else(|| problem(line, "accepted is a header `Key-ID: ed25519:VERSION`"))?;
        let seed = encoding::decode(self.base64.as_bytes())
            .ok_or_else(|| problem(self.line, "the block must hold 32 bytes in base64"))?;
        key(line, version, seed)
    }

    fn header(&self, wanted: &str) -> Option<(usize, &'t str)> {
        let found = self.headers.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|&(line, _, value)| (line, value))
    }
}

fn key(line: usize, version: &str, seed: [u8; 32]) -> Result<SigningKey, InvalidKeyFile> {
    SigningKey::from_seed(version, seed)
        .ok_or_else(|| problem(line, "the version of a key is made of A-Z, a-z, 0-9 and _"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SigningKeys, tests::SEED},
        *,
    };

    fn error(text: &str) -> String {
        SigningKeys::parse(text).unwrap_err().to_string()
    }

    fn pem(label: &str, headers: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{headers}\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn every_format_is_written_and_recognised_with_several_keys() {
        let files = ["one", "two"].map(|name| (name.to_owned(), SigningKeys::single(SigningKey::generate())));
        let keys = SigningKeys::combine(files).unwrap();
        for format in KeyFormat::ALL {
            let read = SigningKeys::parse(&keys.write(format)).unwrap();
            let same = |(a, b): (&SigningKey, &SigningKey)| a.id() == b.id() && a.0.seed == b.0.seed;
            assert!(read.iter().zip(keys.iter()).all(same) && read.iter().count() == 2, "{format:?}");
        }
    }

    #[test]
    fn files_are_written_as_their_software_does() {
        let keys = SigningKeys::parse(&format!("ed25519 1 {SEED}")).unwrap();
        // The same bytes, without the stray bits of the example.
        let seed = SEED.replace("XA1", "XA0");
        assert_eq!(keys.write(KeyFormat::Synapse), format!("ed25519 1 {seed}\n"));
        let dendrite = pem("MATRIX PRIVATE KEY", "Key-ID: ed25519:1\n", &format!("{seed}="));
        assert_eq!(keys.write(KeyFormat::Dendrite), dendrite);
        let mmr = pem("MMR PRIVATE KEY", "Key-ID: ed25519:1\nVersion: 1\n", &format!("{seed}="));
        assert_eq!(keys.write(KeyFormat::Mmr), mmr);
    }

    #[test]
    fn blank_lines_line_ends_and_a_byte_order_mark_do_not_matter() {
        let keys = SigningKeys::parse(&format!("\u{feff}\r\n  ed25519   a_1  {SEED}=\r\n\r\n")).unwrap();
        assert_eq!(keys.first().id(), "ed25519:a_1");
        let pem = pem("MATRIX PRIVATE KEY", "Key-ID: ed25519:a\n", &format!("{SEED}=")).replace('\n', "\r\n");
        assert_eq!(SigningKeys::parse(&format!("\r\n{pem}\r\n")).unwrap().first().version(), "a");
    }

    #[test]
    fn blocks_of_other_software_are_left_alone() {
        let other = pem("CERTIFICATE", "", "YWJj");
        let own = pem("MMR PRIVATE KEY", "Key-ID: ed25519:a\nVersion: 1\n", SEED);
        assert_eq!(SigningKeys::parse(&format!("{other}{own}")).unwrap().iter().count(), 1);
        assert!(error(&other).contains("MATRIX PRIVATE KEY"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_is_accepted() {
        let good = format!("ed25519 a {SEED}\n");
        let key_id = "Key-ID: ed25519:a\n";
        for (text, expected) in [
            (format!("{good}curve25519 b {SEED}"), "line 2: the algorithm must be ed25519"),
            (format!("{good}\ned25519 b"), "line 3: accepted is `ed25519 VERSION SEED`"),
            (format!("{good}ed25519 b {SEED} x"), "line 2: accepted is `ed25519 VERSION SEED`"),
            ("ed25519 b c2hvcnQ".to_owned(), "line 1: the seed must be 32 bytes"),
            (format!("ed25519 b-c {SEED}"), "line 1: the version of a key"),
            (format!("{good}{good}"), "line 2: the key of line 1 has the same version"),
            (pem(MMR, key_id, SEED), "line 1: accepted is the header `Version: 1`"),
            (pem(MMR, "Key-ID: ed25519:a\nVersion: 2\n", SEED), "line 3: accepted is the header"),
            (pem(DENDRITE, "Key-ID: a\n", SEED), "line 2: accepted is a header `Key-ID: ed25519:VERSION`"),
            (pem(DENDRITE, "", SEED), "line 1: accepted is a header `Key-ID"),
            (pem(DENDRITE, key_id, "YWJj"), "line 1: the block must hold 32 bytes"),
            (pem(DENDRITE, key_id, SEED).replace("END MATRIX", "END MMR"), "line 5: the block that began"),
            (pem(DENDRITE, key_id, SEED).replace("-----END", "END"), "line 1: the block has no end"),
            (pem(DENDRITE, key_id, SEED) + "x", "line 6: nothing may stand outside"),
            (" \n".to_owned(), "there is no signing key in it"),
        ] {
            assert!(error(&text).starts_with(expected), "{} for {text:?}", error(&text));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_secret_never_stands_in_an_error(before in ".{0,40}", after in ".{0,40}") {
            let seed = "Ub4v8rHxnS9hJ2dlDq0c7Zy3kPqXo1tVfGmEwRaLsT0";
            if let Err(error) = SigningKeys::parse(&format!("{before}{seed}{after}")) {
                let shown = format!("{error} {error:?}");
                proptest::prop_assert!(!shown.contains(&seed[4..20]), "{}", shown);
            }
        }
    }
}
