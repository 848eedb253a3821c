//! The answer of a federation media endpoint: `multipart/mixed` with two parts, JSON and media ([spec]).
//!
//! What the wild sends and the specification's own example gets wrong is accepted: no line break before the first
//! boundary, words before it, bare line feeds, no headers on the first part, no `--` at the end, no end at all.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use crate::stream::{ByteStream, StreamError};

/// Most that may stand before the first boundary or behind the last.
const MAX_PREAMBLE: usize = 16 << 10;
/// Longest header section of a part.
const MAX_HEADERS: usize = 16 << 10;
/// Longest JSON part.
const MAX_JSON: usize = 64 << 10;

/// Why an answer is not what the endpoint promises.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MixedError {
    #[error("the answer has fewer than two parts")]
    TooFewParts,
    #[error("the {0} of the answer is too long")]
    TooLong(&'static str),
    #[error("the first part of the answer is no JSON object")]
    NoObject,
    #[error(transparent)]
    Stream(#[from] StreamError),
}

#[derive(Debug, thiserror::Error)]
#[error("the multipart answer ended without its last boundary")]
struct NoLastBoundary;

/// Both parts, with the bytes of the second still to come.
#[derive(Debug)]
pub(crate) struct Mixed {
    pub(crate) json: serde_json::Map<String, serde_json::Value>,
    pub(crate) headers: HeaderMap,
    /// How many bytes stood before the second part's.
    pub(crate) before: u64,
    pub(crate) body: ByteStream,
}

/// The boundary that a `Content-Type` names; `None` when it is of another type or names none.
pub(crate) fn boundary(content_type: &[u8]) -> Option<Bytes> {
    let end = memchr(b';', content_type)?;
    if !content_type[..end].trim_ascii().eq_ignore_ascii_case(b"multipart/mixed") {
        return None;
    }
    let mut rest = &content_type[end + 1..];
    loop {
        let equals = memchr(b'=', rest)?;
        let (name, value) = (rest[..equals].trim_ascii(), rest[equals + 1..].trim_ascii_start());
        let (value, after) = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.split_at(memchr(b'"', quoted)?),
            None => value.split_at(memchr(b';', value).unwrap_or(value.len())),
        };
        if name.eq_ignore_ascii_case(b"boundary") {
            let value = value.trim_ascii();
            // RFC 2046 allows 70.
            return (1..=200).contains(&value.len()).then(|| Bytes::copy_from_slice(value));
        }
        rest = &after[memchr(b';', after)? + 1..];
    }
}

/// Reads up to the bytes of the second part.
///
/// `framed` says whether the end of `body` is known to be its end, rather than that of a connection. Only then may the
/// last boundary be missing.
pub(crate) async fn open(boundary: &[u8], framed: bool, body: ByteStream) -> Result<Mixed, MixedError> {
    let mut input = Input { body, buffer: BytesMut::new(), received: 0, ended: false };
    let mut delimiter = Delimiter { text: [b"--", boundary].concat().into(), crlf: true };
    skip_preamble(&mut input, &mut delimiter).await?;
    read_headers(&mut input).await?;
    let json = read_json(&mut input, &delimiter).await?;
    let headers = read_headers(&mut input).await?;
    let before = input.received - input.buffer.len() as u64;
    let part = Part { input, delimiter, framed, begun: false };
    let body = stream::try_unfold(Some(part), |part| async move {
        let Some(mut part) = part else { return Ok(None) };
        let (data, more) = part.next().await?;
        Ok::<_, StreamError>(Some((data, more.then_some(part))))
    });
    Ok(Mixed { json, headers, before, body: ByteStream::new(body) })
}

struct Input {
    body: ByteStream,
    buffer: BytesMut,
    received: u64,
    ended: bool,
}

impl Input {
    /// Waits for more bytes. False at the end.
    async fn more(&mut self) -> Result<bool, StreamError> {
        if self.ended {
            return Ok(false);
        }
        let Some(chunk) = self.body.next().await else {
            self.ended = true;
            return Ok(false);
        };
        let chunk = chunk?;
        self.received += chunk.len() as u64;
        // Most chunks need not be copied.
        if self.buffer.is_empty() {
            self.buffer = BytesMut::from(chunk);
        } else {
            self.buffer.extend_from_slice(&chunk);
        }
        Ok(true)
    }

    /// Takes a line, up to and with its line feed. `None` when there is none yet.
    fn line(&mut self) -> Option<BytesMut> {
        memchr(b'\n', &self.buffer).map(|at| self.buffer.split_to(at + 1))
    }
}

struct Delimiter {
    /// `--boundary`
    text: Bytes,
    /// Whether lines end with CR LF, as they should, or with a bare LF.
    crlf: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Data ends at `start`, and the delimiter behind it at `end`.
    Delimiter { start: usize, end: usize },
    /// Data ends here; what follows may be the begin of a delimiter.
    Data(usize),
}

impl Delimiter {
    /// Looks for the line break and boundary that end a part. At the begin of a part it may do without the line break.
    fn find(&self, data: &[u8], at_begin: bool, ended: bool) -> Found {
        let line_break: &[u8] = if self.crlf { b"\r\n" } else { b"\n" };
        if at_begin {
            match self.compare(data, ended) {
                Some(Found::Data(_)) => return Found::Data(0),
                Some(found) => return found,
                None => {}
            }
        }
        let mut from = 0;
        while let Some(at) = memchr(line_break[0], &data[from..]).map(|at| from + at) {
            let rest = &data[at..];
            if rest.len() < line_break.len() && !ended {
                return Found::Data(at);
            }
            if let Some(rest) = rest.strip_prefix(line_break) {
                match self.compare(rest, ended) {
                    Some(Found::Data(_)) => return Found::Data(at),
                    Some(Found::Delimiter { end, .. }) => {
                        return Found::Delimiter { start: at, end: at + line_break.len() + end };
                    }
                    None => {}
                }
            }
            from = at + 1;
        }
        Found::Data(data.len())
    }

    /// Whether `data` begins with the boundary, rather than with a longer text; `Data` when that cannot be told yet.
    fn compare(&self, data: &[u8], ended: bool) -> Option<Found> {
        let end = self.text.len();
        match data.strip_prefix(&*self.text) {
            Some([b'-', b'-', ..] | [b'\r' | b'\n' | b' ' | b'\t', ..]) => {
                Some(Found::Delimiter { start: 0, end })
            }
            Some([] | [b'-']) if ended => Some(Found::Delimiter { start: 0, end }),
            Some([] | [b'-']) => Some(Found::Data(0)),
            Some(_) => None,
            None if !self.text.starts_with(data) => None,
            None if !ended => Some(Found::Data(0)),
            // A boundary that was cut off, if more of it came than dashes, which media may end with.
            None => (data.len() > 2).then_some(Found::Delimiter { start: 0, end: data.len() }),
        }
    }
}

/// The second part.
struct Part {
    input: Input,
    delimiter: Delimiter,
    framed: bool,
    begun: bool,
}

impl Part {
    /// The next bytes, and whether there may be more.
    async fn next(&mut self) -> Result<(Bytes, bool), StreamError> {
        loop {
            let Input { buffer, ended, .. } = &mut self.input;
            match self.delimiter.find(buffer, !self.begun, *ended) {
                Found::Delimiter { start, .. } => {
                    let data = buffer.split_to(start).freeze();
                    self.finish();
                    return Ok((data, false));
                }
                Found::Data(len) if len > 0 => {
                    self.begun = true;
                    return Ok((buffer.split_to(len).freeze(), true));
                }
                Found::Data(_) if self.input.more().await? || !self.input.buffer.is_empty() => {}
                Found::Data(_) if self.framed => return Ok((Bytes::new(), false)),
                Found::Data(_) => return Err(StreamError::Sender(NoLastBoundary.into())),
            }
        }
    }

    /// Reads what is there of the end of the answer: a connection that was read to its end can be used again. Whatever
    /// becomes of that, the media is whole.
    fn finish(&mut self) {
        let mut seen = self.input.buffer.len();
        while seen <= MAX_PREAMBLE {
            self.input.buffer.clear();
            let Some(Ok(true)) = self.input.more().now_or_never() else { return };
            seen += self.input.buffer.len();
        }
    }
}

async fn skip_preamble(input: &mut Input, delimiter: &mut Delimiter) -> Result<(), MixedError> {
    let mut seen = 0;
    loop {
        let line = input.line();
        // A line counts as long as it is, whether it comes in one chunk or in many.
        if seen + line.as_ref().map_or(input.buffer.len(), BytesMut::len) > MAX_PREAMBLE {
            return Err(MixedError::TooLong("preamble"));
        }
        if let Some(line) = line {
            if let Some(rest) = line.strip_prefix(&*delimiter.text) {
                delimiter.crlf = rest.ends_with(b"\r\n");
                return if rest.starts_with(b"--") { Err(MixedError::TooFewParts) } else { Ok(()) };
            }
            seen += line.len();
        } else if !input.more().await? {
            return Err(MixedError::TooFewParts);
        }
    }
}

/// Header lines up to an empty one. Lines that are no headers are skipped.
async fn read_headers(input: &mut Input) -> Result<HeaderMap, MixedError> {
    let (mut headers, mut seen) = (HeaderMap::new(), 0);
    loop {
        let line = input.line();
        seen += line.as_ref().map_or(0, BytesMut::len);
        if seen + if line.is_none() { input.buffer.len() } else { 0 } > MAX_HEADERS {
            return Err(MixedError::TooLong("header section"));
        }
        let Some(line) = line else {
            if input.more().await? {
                continue;
            }
            return Err(MixedError::TooFewParts);
        };
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(headers);
        }
        if let Some(colon) = memchr(b':', line)
            && let Ok(name) = HeaderName::from_bytes(line[..colon].trim_ascii())
            && let Ok(value) = HeaderValue::from_bytes(line[colon + 1..].trim_ascii())
        {
            headers.append(name, value);
        }
    }
}

async fn read_json(
    input: &mut Input,
    delimiter: &Delimiter,
) -> Result<serde_json::Map<String, serde_json::Value>, MixedError> {
    loop {
        if let Found::Delimiter { start, end } = delimiter.find(&input.buffer, true, input.ended) {
            let line = &input.buffer[end..];
            if line.starts_with(b"--") {
                return Err(MixedError::TooFewParts);
            }
            // The line may be cut.
            if let Some(line_feed) = memchr(b'\n', line) {
                if end + line_feed > MAX_JSON {
                    return Err(MixedError::TooLong("JSON part"));
                }
                let json = serde_json::from_slice(&input.buffer[..start]);
                input.buffer.advance(end + line_feed + 1);
                return json.map_err(|_| MixedError::NoObject);
            }
        }
        if input.buffer.len() > MAX_JSON {
            return Err(MixedError::TooLong("JSON part"));
        }
        if !input.more().await? {
            return Err(MixedError::TooFewParts);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(text: &[u8], chunk: usize) -> ByteStream {
        let chunks: Vec<_> = text.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        ByteStream::new(stream::iter(chunks))
    }

    async fn read(text: &[u8], chunk: usize) -> Result<(HeaderMap, Bytes), MixedError> {
        let mixed = open(b"B", true, input(text, chunk)).await?;
        Ok((mixed.headers, mixed.body.collect_up_to(u64::MAX).await?))
    }

    /// However the answer is cut into chunks.
    async fn assert_reads(text: &str, body: &str) {
        for chunk in [1, 2, 3, 7, 1000] {
            let (_, got) = read(text.as_bytes(), chunk).await.unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!(got, body.as_bytes(), "{text:?} in chunks of {chunk}");
        }
    }

    const EXACT: &str = "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\nContent-Type: image/png\r\n\
                         Content-Disposition: inline; filename=a.png\r\n\r\nbytes\r\n--B--\r\n";

    #[tokio::test]
    async fn the_form_of_the_specification_is_read() {
        assert_reads(EXACT, "bytes").await;
        let (headers, _) = read(EXACT.as_bytes(), 1000).await.unwrap();
        assert_eq!(headers["content-type"], "image/png");
        assert_eq!(headers["content-disposition"], "inline; filename=a.png");
    }

    #[tokio::test]
    async fn deviations_found_in_the_wild_are_read() {
        for text in [
            "\r\n--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B--\r\n",
            "This is a message with multiple parts.\r\n--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B--",
            "--B\n\n{}\n--B\n\nbytes\n--B--\n",
            "--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B\r\n",
            "--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B",
            "--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B-",
            "--B\r\n\r\n{}\r\n--B\r\n\r\nbytes",
            "--B \r\nCONTENT-TYPE:application/json; charset=utf-8\r\n\r\n {} \r\n--B\t\r\n\r\nbytes\r\n--B--\r\nbye",
            "--B\r\nno header\r\n\r\n{\"a\":{}}\r\n--B\r\nx y: z\r\n\r\nbytes\r\n--B--\r\n",
        ] {
            assert_reads(text, "bytes").await;
        }
    }

    #[tokio::test]
    async fn a_boundary_that_is_cut_off_is_no_media() {
        for (end, media) in [("\r\n--lon", "bytes"), ("\r\n--l", "bytes"), ("\r\n--", "bytes\r\n--")] {
            let text = format!("--long\r\n\r\n{{}}\r\n--long\r\n\r\nbytes{end}");
            let mixed = open(b"long", true, input(text.as_bytes(), 7)).await.unwrap();
            assert_eq!(mixed.body.collect_up_to(100).await.unwrap(), media, "{end:?}");
        }
    }

    #[tokio::test]
    async fn what_stands_before_the_media_is_counted() {
        for chunk in [1, 7, 1000] {
            let mixed = open(b"B", true, input(EXACT.as_bytes(), chunk)).await.unwrap();
            assert_eq!(mixed.before, EXACT.find("bytes").unwrap() as u64, "in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn empty_media_is_read() {
        for text in [
            "--B\r\n\r\n{}\r\n--B\r\n\r\n\r\n--B--\r\n",
            "--B\r\n\r\n{}\r\n--B\r\n\r\n--B--\r\n",
            "--B\r\n\r\n{}\r\n--B\r\n\r\n",
        ] {
            assert_reads(text, "").await;
        }
    }

    #[tokio::test]
    async fn bytes_that_look_like_a_boundary_belong_to_the_media() {
        for body in ["\r\n--Bx", "--B", "x\r\n--C--", "\r\r\n\r\n-", "\n--B--\n", "\r\n--B\u{b}", "\r\n"] {
            let body = format!("x{body}");
            let text = format!("--B\r\n\r\n{{}}\r\n--B\r\n\r\n{body}\r\n--B--\r\n");
            assert_reads(&text, &body).await;
        }
    }

    #[tokio::test]
    async fn what_has_no_two_parts_is_refused() {
        for text in [
            "",
            "{}",
            "--B--\r\n",
            "--B\r\n\r\n{}\r\n--B--\r\n",
            "--B\r\n\r\n{}",
            "--B\r\n\r\n{}\r\n--B\r\nx: y",
        ] {
            let error = read(text.as_bytes(), 3).await.unwrap_err();
            assert!(matches!(error, MixedError::TooFewParts), "{text:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_first_part_that_is_no_object_is_refused() {
        for json in ["[]", "", "{", "null", "x"] {
            let text = format!("--B\r\n\r\n{json}\r\n--B\r\n\r\nbytes\r\n--B--\r\n");
            let error = read(text.as_bytes(), 3).await.unwrap_err();
            assert!(matches!(error, MixedError::NoObject), "{json:?}: {error}");
        }
    }

    #[tokio::test]
    async fn endless_preambles_headers_and_json_are_refused() {
        let long = "x".repeat(100_000);
        for (text, part) in [
            (long.clone(), "preamble"),
            ("x\n".repeat(20_000), "preamble"),
            (format!("--B\r\n{long}"), "header section"),
            (format!("--B\r\n{}", "a: b\r\n".repeat(20_000)), "header section"),
            (format!("--B\r\n\r\n{long}"), "JSON part"),
        ] {
            let error = read(text.as_bytes(), 1000).await.unwrap_err();
            assert!(matches!(error, MixedError::TooLong(which) if which == part), "{part}: {error}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_too_long_in_one_chunk_too() {
        let (long, rest) = ("x".repeat(100_000), "\r\n--B\r\n\r\nbytes\r\n--B--\r\n");
        for (text, part) in [
            (format!("{long}\r\n--B\r\n\r\n{{}}{rest}"), "preamble"),
            (format!("{}--B\r\n\r\n{{}}{rest}", "x\n".repeat(20_000)), "preamble"),
            (format!("--B\r\n{long}\r\n\r\n{{}}{rest}"), "header section"),
            (format!("--B\r\n\r\n{{\"a\":\"{long}\"}}{rest}"), "JSON part"),
            (format!("--B\r\n\r\n{{}}\r\n--B{}{rest}", " ".repeat(100_000)), "JSON part"),
        ] {
            for chunk in [1, 1000, usize::MAX] {
                let error = read(text.as_bytes(), chunk).await.unwrap_err();
                assert!(matches!(error, MixedError::TooLong(which) if which == part), "{part}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_closes_is_no_end_of_the_media() {
        let text = b"--B\r\n\r\n{}\r\n--B\r\n\r\nbytes";
        let mixed = open(b"B", false, input(text, 5)).await.unwrap();
        assert!(mixed.body.collect_up_to(100).await.unwrap_err().is_senders_fault());
    }

    #[tokio::test]
    async fn media_is_whole_at_its_last_boundary_whatever_comes_then() {
        let text = Bytes::from_static(b"--B\r\n\r\n{}\r\n--B\r\n\r\nbytes\r\n--B--\r\n");
        let then: [ByteStream; 2] = [
            ByteStream::new(stream::pending()),
            ByteStream::new(stream::iter([Err(StreamError::Sender("gone".into()))])),
        ];
        for then in then {
            let input = ByteStream::new(stream::iter([Ok(text.clone())]).chain(then));
            let mixed = open(b"B", true, input).await.unwrap();
            assert_eq!(mixed.body.collect_up_to(100).await.unwrap(), "bytes");
        }
    }

    #[test]
    fn boundaries_are_found_quoted_or_not_wherever_they_stand() {
        for (text, expected) in [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("Multipart/Mixed;Boundary=\"a b;c\"", Some("a b;c")),
            ("multipart/mixed; charset=\"x;y\"; boundary=abc ; z=1", Some("abc")),
            ("multipart/mixed; boundary=", None),
            ("multipart/mixed; boundary=\"abc", None),
            ("multipart/mixed", None),
            ("multipart/form-data; boundary=abc", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn any_media_comes_out_as_it_went_in(
            body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..200),
            chunk in 1_usize..50,
        ) {
            prop_assume!(!body.windows(5).any(|window| window == b"\r\n--B") && !body.starts_with(b"--B"));
            let text = [b"--B\r\n\r\n{}\r\n--B\r\n\r\n", &*body, b"\r\n--B--\r\n"].concat();
            prop_assert_eq!(block_on(read(&text, chunk)).unwrap().1, body);
        }

        #[test]
        fn nonsense_never_panics(text in "(--B|\r\n|\n|[{}:; =\"a-]|--){0,60}", chunk in 1_usize..20) {
            let _ = block_on(read(text.as_bytes(), chunk));
            let _ = boundary(text.as_bytes());
        }
    }
}
