//! YAML as a tree whose nodes know their line, so that every problem of a file can be named at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned, options::DuplicateKeyPolicy};

/// Nesting beyond this is no configuration; the parser refuses it before any recursion does harm.
const MAX_DEPTH: usize = 32;

/// One YAML value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: u64,
    /// A scalar as the file spells it (`0123`, not 123); empty for lists and mappings.
    pub(super) raw: String,
    pub(super) data: Data,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One line of a mapping. Keys may repeat here; the reader of the tree complains about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) node: Node,
}

/// Why a file is no YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

impl Node {
    /// Parses one YAML document. An empty file is [`Data::Null`].
    pub(super) fn parse(source: &str) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: 100_000 },
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            emit_comments: false,
            // Only `true` and `false` are booleans to the parser; what else the file may say is decided by the key.
            strict_booleans: true,
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Spanned<Parsed>>(source, options) {
            Ok(root) => Ok(root.into_node(source)),
            Err(error) => {
                let error = error.without_snippet();
                let line = error.location().filter(|at| *at != Location::UNKNOWN);
                Err(SyntaxError { line: line.map(|at| at.line()), message: error.to_string() })
            }
        }
    }

    /// The value as a message shows it: short, on one line, strings in quotes.
    pub(super) fn shown(&self) -> String {
        match &self.data {
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
            Data::Null => "nothing".to_owned(),
            Data::Text(text) => shorten(&format!("{text:?}")),
            Data::Bool(_) | Data::Int(_) | Data::Float(_) => shorten(&self.raw),
        }
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The tree as serde hands it over, before the source text is looked at.
#[derive(Debug)]
enum Parsed {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<String>, Spanned<Parsed>)>),
}

trait IntoNode {
    fn into_node(self, source: &str) -> Node;
}

impl IntoNode for Spanned<Parsed> {
    fn into_node(self, source: &str) -> Node {
        let spelled = || slice(source, &self.defined);
        let (raw, data) = match self.value {
            Parsed::Null => (String::new(), Data::Null),
            Parsed::Bool(value) => (value.to_string(), Data::Bool(value)),
            Parsed::Int(value) => {
                (spelled().map_or_else(|| value.to_string(), str::to_owned), Data::Int(value))
            }
            Parsed::Float(value) => {
                (spelled().map_or_else(|| value.to_string(), str::to_owned), Data::Float(value))
            }
            Parsed::Text(text) => (text.clone(), Data::Text(text)),
            Parsed::List(items) => {
                (String::new(), Data::List(items.into_iter().map(|item| item.into_node(source)).collect()))
            }
            Parsed::Map(entries) => (
                String::new(),
                Data::Map(
                    entries
                        .into_iter()
                        .map(|(key, value)| Entry {
                            line: key.referenced.line(),
                            key: key.value,
                            node: value.into_node(source),
                        })
                        .collect(),
                ),
            ),
        };
        Node { line: self.referenced.line(), raw, data }
    }
}

/// The text of a scalar, if the location still says where it stood.
fn slice<'s>(source: &'s str, at: &Location) -> Option<&'s str> {
    let span = at.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let text = source.get(start..end)?.trim();
    (!text.is_empty()).then_some(text)
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        Parsed::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Parsed, E> {
        Ok(Parsed::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Parsed, E> {
        Ok(i128::try_from(value).map_or_else(|_| Parsed::Text(value.to_string()), Parsed::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parsed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Parsed::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Parsed::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(source: &str) -> Vec<Entry> {
        match Node::parse(source).unwrap().data {
            Data::Map(entries) => entries,
            other => panic!("no mapping: {other:?}"),
        }
    }

    #[test]
    fn every_node_knows_its_line() {
        let top = entries("# comment\nrepo:\n  port: 8000\n\nadmins:\n  - \"@a:b\"\n");
        assert_eq!((top[0].line, top[1].line), (2, 5));
        let Data::Map(repo) = &top[0].node.data else { panic!("repo is a mapping") };
        assert_eq!((repo[0].line, repo[0].node.line), (3, 3));
        let Data::List(admins) = &top[1].node.data else { panic!("admins is a list") };
        assert_eq!(admins[0].line, 6);
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let top = entries("a: 0123\nb: 1.10\nc: 1_000\nd: 0x10 # sixteen\n");
        let raws: Vec<_> = top.iter().map(|entry| entry.node.raw.as_str()).collect();
        assert_eq!(raws, ["0123", "1.10", "1_000", "0x10"]);
    }

    #[test]
    fn an_aliased_number_keeps_the_spelling_of_its_anchor() {
        let top = entries("a: &x 0x1F\nb: *x\n");
        assert_eq!(top[1].node.raw, "0x1F");
        assert_eq!(top[1].node.line, 2);
    }

    #[test]
    fn quoted_numbers_and_old_booleans_are_text() {
        for source in ["a: \"8000\"", "a: 'true'", "a: yes", "a: off"] {
            assert!(matches!(&entries(source)[0].node.data, Data::Text(_)), "{source}");
        }
    }

    #[test]
    fn repeated_keys_are_kept_for_the_reader_of_the_tree() {
        assert_eq!(entries("a: 1\na: 2\n").len(), 2);
    }

    #[test]
    fn merge_keys_are_expanded() {
        let top = entries("base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2\n");
        let Data::Map(used) = &top[1].node.data else { panic!("use is a mapping") };
        let mut keys: Vec<_> = used.iter().map(|entry| entry.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["x", "y"]);
    }

    #[test]
    fn an_empty_file_is_nothing() {
        assert_eq!(Node::parse("").unwrap().data, Data::Null);
        assert_eq!(Node::parse("# only a comment\n").unwrap().data, Data::Null);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error = Node::parse("repo:\n  port: [1\n").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 2), "{error:?}");
    }

    #[test]
    fn deep_nesting_is_refused_instead_of_overflowing_the_stack() {
        assert!(Node::parse(&"[".repeat(100_000)).is_err());
        assert!(Node::parse(&"- ".repeat(100_000)).is_err());
        assert!(Node::parse(&format!("{}1{}", "{a: ".repeat(5_000), "}".repeat(5_000))).is_err());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let alias = format!("*a{}, ", level - 1).repeat(9);
            bomb = format!("{bomb}a{level}: &a{level} [{alias}]\n");
        }
        assert!(Node::parse(&bomb).is_err());
    }
}
