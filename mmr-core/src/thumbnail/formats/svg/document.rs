//! Reading a drawing within bounds: how long its text is, and how much comes of it once everything that it refers to
//! has been written out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;
use resvg::usvg::roxmltree::{Document, Error, Node, ParsingOptions};

use crate::thumbnail::render::RenderError;

/// Bytes of text.
const MAX_TEXT: u64 = 4 * 1024 * 1024;
/// Elements, texts and comments.
const MAX_NODES: u32 = 100_000;
/// The same once all references are written out.
const MAX_EXPANDED: u64 = 100_000;
/// Elements inside of each other, references included. All of usvg and resvg recurses.
const MAX_DEPTH: u32 = 128;
/// Attributes of an element: roxmltree compares each with each.
const MAX_ATTRIBUTES: usize = 1000;
const MAX_ALL_ATTRIBUTES: usize = 400_000;
/// Declarations of name spaces: the inner ones copy the outer ones.
const MAX_NAMESPACES: usize = 1000;
/// Rules of style times elements: each is matched with each.
const MAX_MATCHES: usize = 50_000_000;

/// How far the beginning of a drawing is looked for.
const LOOK: usize = 4096;

/// Whether a drawing begins here: its root comes after declarations and comments only.
pub(super) fn is_svg(source: &[u8]) -> bool {
    if !is_compressed(source) {
        return begins(source.get(..LOOK).unwrap_or(source));
    }
    let mut head = Vec::new();
    // What broke off may have been enough.
    let _ = GzDecoder::new(source).take(LOOK as u64).read_to_end(&mut head);
    begins(&head)
}

fn is_compressed(source: &[u8]) -> bool {
    source.starts_with(&[0x1F, 0x8B])
}

fn begins(head: &[u8]) -> bool {
    let mut rest = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    loop {
        let behind = if let Some(comment) = rest.strip_prefix(b"<!--") {
            behind(comment, b"-->")
        } else if let Some(instruction) = rest.strip_prefix(b"<?") {
            behind(instruction, b"?>")
        } else if let Some(doctype) = rest.strip_prefix(b"<!DOCTYPE") {
            let end = doctype.iter().position(|byte| matches!(byte, b'[' | b'>'));
            match end.map(|at| doctype.split_at(at)) {
                Some((_, [b'[', inner @ ..])) => {
                    behind(inner, b"]").and_then(|rest| rest.trim_ascii_start().strip_prefix(b">"))
                }
                Some((_, [_, rest @ ..])) => Some(rest),
                _ => None,
            }
        } else {
            let name_ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/' | b':');
            return rest.strip_prefix(b"<svg").and_then(<[u8]>::first).is_some_and(name_ends)
                || rest.strip_prefix(b"<svg:svg").and_then(<[u8]>::first).is_some_and(name_ends);
        };
        match behind {
            Some(behind) => rest = behind.trim_ascii_start(),
            None => return false,
        }
    }
}

fn behind<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    bytes.get(at + end.len()..)
}

/// What a parsed drawing may take, for a source of this length.
pub(super) fn tree_bytes(source: &[u8]) -> u64 {
    /// Of elements and of the outlines of letters.
    const PER_BYTE: u64 = 16;
    const EXPANDED: u64 = MAX_EXPANDED * 256;
    let text = if is_compressed(source) { MAX_TEXT } else { (source.len() as u64).min(MAX_TEXT) };
    text * PER_BYTE + EXPANDED
}

/// Hands the text of a drawing out, unpacked.
pub(super) fn with_text<T>(source: &[u8], read: impl FnOnce(&str) -> T) -> Result<T, RenderError> {
    let bytes = if is_compressed(source) {
        let mut text = Vec::new();
        GzDecoder::new(source).take(MAX_TEXT + 1).read_to_end(&mut text).map_err(RenderError::decode)?;
        Cow::Owned(text)
    } else {
        Cow::Borrowed(source)
    };
    if bytes.len() as u64 > MAX_TEXT {
        return Err(too_complex("text"));
    }
    Ok(read(std::str::from_utf8(&bytes).map_err(RenderError::decode)?))
}

fn too_complex(what: &str) -> RenderError {
    RenderError::Unsupported(format!("drawing has too much {what}"))
}

/// Parses a drawing that is not too complex to be drawn.
pub(super) fn parse(text: &str) -> Result<Document<'_>, RenderError> {
    bound_attributes(text)?;
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        Error::NodesLimitReached => too_complex("content"),
        error => RenderError::decode(error),
    })?;
    let styles = Styles::of(&document);
    let elements = document.descendants().filter(Node::is_element).count();
    if styles.rules.saturating_mul(elements) > MAX_MATCHES {
        return Err(too_complex("style"));
    }
    let ids = document.descendants().filter_map(|node| Some((node.attribute("id")?, node))).collect();
    let mut expansion = Expansion { ids, styles, known: HashMap::new(), open: Vec::new() };
    if expansion.of(document.root_element())?.nodes > MAX_EXPANDED {
        return Err(too_complex("content"));
    }
    Ok(document)
}

/// Before anything is parsed. A `<` cannot stand in an attribute, so that no element has more of them than there are
/// `=` up to the next.
fn bound_attributes(text: &str) -> Result<(), RenderError> {
    let mut all = 0;
    for tag in text.split('<') {
        let attributes = tag.bytes().filter(|&byte| byte == b'=').count();
        all += attributes;
        if attributes > MAX_ATTRIBUTES && !tag.starts_with("script") && !tag.starts_with("![CDATA[") {
            return Err(too_complex("attributes"));
        }
    }
    if all > MAX_ALL_ATTRIBUTES || text.matches("xmlns").count() > MAX_NAMESPACES {
        return Err(too_complex("attributes"));
    }
    Ok(())
}

/// Which elements a style sheet makes refer to others.
#[derive(Default)]
struct Styles<'a> {
    rules: usize,
    of_class: HashMap<&'a str, Vec<Reference<'a>>>,
    of_anything: Vec<Reference<'a>>,
}

impl<'a> Styles<'a> {
    fn of(document: &'a Document<'_>) -> Self {
        let mut styles = Self::default();
        for sheet in document.descendants().filter(|node| node.tag_name().name() == "style") {
            for rule in sheet.descendants().filter_map(|node| node.text()).flat_map(|text| text.split('}')) {
                styles.rules += 1 + rule.bytes().filter(|&byte| byte == b',').count();
                let Some((selectors, declarations)) = rule.split_once('{') else { continue };
                let references: Vec<_> = references_of_style(declarations).collect();
                if references.is_empty() {
                    continue;
                }
                for selector in selectors.split(',') {
                    let class = selector.trim().strip_prefix('.').filter(|class| {
                        class.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                    });
                    let of = class.map(|class| styles.of_class.entry(class).or_default());
                    of.unwrap_or(&mut styles.of_anything).extend(&references);
                }
            }
        }
        styles
    }
}

/// Something that an element takes from another.
#[derive(Clone, Copy)]
struct Reference<'a> {
    id: &'a str,
    /// Whether it is drawn at every corner of a line.
    at_corners: bool,
}

/// Every `url(#id)` of the declarations.
fn references_of_style(style: &str) -> impl Iterator<Item = Reference<'_>> {
    style.split(';').flat_map(|declaration| {
        let name = declaration.split(':').next().unwrap_or_default().trim();
        references_of_value(name, declaration)
    })
}

fn references_of_value<'a>(name: &str, value: &'a str) -> impl Iterator<Item = Reference<'a>> {
    let at_corners = matches!(name, "marker" | "marker-mid");
    value.split("url(").skip(1).filter_map(move |rest| {
        let id = rest.split(')').next()?.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        Some(Reference { id: id.strip_prefix('#')?, at_corners })
    })
}

/// How much becomes of an element once everything that it refers to is written out.
#[derive(Clone, Copy)]
struct Extent {
    nodes: u64,
    depth: u32,
}

struct Expansion<'a, 'input> {
    ids: HashMap<&'a str, Node<'a, 'input>>,
    styles: Styles<'a>,
    known: HashMap<u32, Extent>,
    /// The elements on the way here.
    open: Vec<u32>,
}

impl<'a, 'input> Expansion<'a, 'input> {
    fn of(&mut self, node: Node<'a, 'input>) -> Result<Extent, RenderError> {
        let way = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let key = node.id().get();
        if let Some(known) = self.known.get(&key) {
            return if way + known.depth > MAX_DEPTH { Err(too_complex("depth")) } else { Ok(*known) };
        }
        if way >= MAX_DEPTH {
            return Err(too_complex("depth"));
        }
        if self.open.contains(&key) {
            return Err(RenderError::Unsupported("drawing refers to itself".to_owned()));
        }
        self.open.push(key);
        // A letter becomes an outline, and its text is laid out as one.
        let letters = node.text().filter(|_| node.is_text()).map_or(0, |text| text.trim().len() as u64);
        let in_text = node.parent_element().is_some_and(|parent| {
            matches!(parent.tag_name().name(), "text" | "tspan" | "textPath" | "tref" | "a")
        });
        let mut extent = Extent { nodes: 1 + if in_text { 5 * letters } else { 0 }, depth: 0 };
        for child in node.children() {
            let of_child = self.of(child)?;
            extent.nodes = extent.nodes.saturating_add(of_child.nodes);
            extent.depth = extent.depth.max(of_child.depth);
        }
        for reference in self.references(node) {
            let Some(target) = self.ids.get(reference.id).copied() else { continue };
            let of_target = self.of(target)?;
            let times = if reference.at_corners { corners(node) } else { 1 };
            extent.nodes = extent.nodes.saturating_add(of_target.nodes.saturating_mul(times));
            extent.depth = extent.depth.max(of_target.depth);
        }
        self.open.pop();
        extent.depth += 1;
        self.known.insert(key, extent);
        Ok(extent)
    }

    fn references(&self, node: Node<'a, 'input>) -> Vec<Reference<'a>> {
        let mut references = Vec::new();
        if !node.is_element() {
            return references;
        }
        for attribute in node.attributes() {
            let value = attribute.value();
            match attribute.name() {
                // Links lead elsewhere and take nothing from there.
                "href" if node.tag_name().name() != "a" => {
                    let id = value.trim().strip_prefix('#');
                    references.extend(id.map(|id| Reference { id, at_corners: false }));
                }
                "style" => references.extend(references_of_style(value)),
                "class" => {
                    let classes = value.split_ascii_whitespace();
                    references.extend(classes.filter_map(|class| self.styles.of_class.get(class)).flatten());
                }
                name => references.extend(references_of_value(name, value)),
            }
        }
        references.extend(&self.styles.of_anything);
        references
    }
}

/// The most corners that a line can have, by the length of its description.
fn corners(node: Node<'_, '_>) -> u64 {
    let lengths = ["d", "points"].into_iter().filter_map(|name| node.attribute(name)).map(str::len);
    1 + lengths.sum::<usize>() as u64 / 2
}
