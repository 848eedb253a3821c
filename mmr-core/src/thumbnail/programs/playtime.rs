//! How long a video plays and whether there is anything to see in it, by its header, which is looked for in the stream:
//! nothing else of it is kept.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;

use super::kinds::Container;
use crate::{
    stream::{ByteStream, StreamError},
    thumbnail::{RenderError, movie::Movie},
};

/// What a source says of all of it, in what there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) duration: Option<Duration>,
    /// Whether it has sound and nothing to see.
    pub(super) is_sound: bool,
}

pub(super) async fn read(container: Container, source: ByteStream) -> Result<Said, RenderError> {
    match container {
        Container::Mp4 | Container::QuickTime => movie(source).await.map_err(RenderError::Source),
        Container::Matroska | Container::WebM => {
            let mut said = Said::default();
            match segment(Reader { source, rest: Bytes::new() }, &mut said).await {
                Ok(()) | Err(None) => Ok(said),
                Err(Some(error)) => Err(RenderError::Source(error)),
            }
        }
    }
}

/// The error of the source; or none, where it ends or says nothing that makes sense.
type Result<T, E = Option<StreamError>> = std::result::Result<T, E>;

async fn movie(mut source: ByteStream) -> Result<Said, StreamError> {
    let mut movie = Movie::default();
    while !movie.is_over()
        && let Some(chunk) = source.next().await
    {
        match chunk {
            Ok(chunk) => movie.feed(&chunk),
            Err(StreamError::TooLarge { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Said { duration: movie.duration(), is_sound: movie.is_sound() })
}

/// RFC 9559, 5.1: `Info` and `Tracks` in the `Segment`, which come before what is in the tracks.
async fn segment(mut source: Reader, said: &mut Said) -> Result<()> {
    const SEGMENT: u64 = 0x1853_8067;
    const INFO: u64 = 0x1549_A966;
    const TRACKS: u64 = 0x1654_AE6B;
    const CLUSTER: u64 = 0x1F43_B675;
    let mut missing = 2;
    while missing > 0 {
        let Element { id, body, .. } = source.element().await?;
        match id {
            SEGMENT => {}
            CLUSTER => break,
            INFO => {
                said.duration = info(&mut source, body.ok_or(None)?).await?;
                missing -= 1;
            }
            TRACKS => {
                said.is_sound = tracks(&mut source, body.ok_or(None)?).await?;
                missing -= 1;
            }
            _ => source.skip(body.ok_or(None)?).await?,
        }
    }
    Ok(())
}

/// 5.1.2: `Duration`, counted in `TimestampScale`.
async fn info(source: &mut Reader, mut left: u64) -> Result<Option<Duration>> {
    const TIMESTAMP_SCALE: u64 = 0x002A_D7B1;
    const DURATION: u64 = 0x4489;
    let (mut nanos, mut ticks) = (1_000_000, None);
    while left > 0 {
        let Element { id, head, body } = source.element().await?;
        let body = body.ok_or(None)?;
        left = left.checked_sub(head).and_then(|left| left.checked_sub(body)).ok_or(None)?;
        match (id, body) {
            (TIMESTAMP_SCALE, 1..=8) => nanos = source.number(0, body).await?,
            (DURATION, 4) => ticks = Some(f64::from(f32::from_be_bytes(source.take().await?))),
            (DURATION, 8) => ticks = Some(f64::from_be_bytes(source.take().await?)),
            _ => source.skip(body).await?,
        }
    }
    let Some(ticks) = ticks else { return Ok(None) };
    #[expect(
        clippy::cast_precision_loss,
        reason = "it is usually a million, and the ticks are a float as well"
    )]
    let seconds = ticks * nanos as f64 / 1e9;
    Ok(Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero()))
}

/// 5.1.4: whether there is sound and nothing else, by `TrackType` in each `TrackEntry`.
async fn tracks(source: &mut Reader, mut left: u64) -> Result<bool> {
    const TRACK_ENTRY: u64 = 0xAE;
    const TRACK_TYPE: u64 = 0x83;
    const SOUND: u64 = 2;
    let (mut sound, mut others) = (false, false);
    while left > 0 {
        let Element { id, head, body } = source.element().await?;
        let body = body.ok_or(None)?;
        // What is in an entry is counted there.
        let passed = if id == TRACK_ENTRY { 0 } else { body };
        left = left.checked_sub(head).and_then(|left| left.checked_sub(passed)).ok_or(None)?;
        match (id, body) {
            (TRACK_ENTRY, _) => {}
            (TRACK_TYPE, 1..=8) => match source.number(0, body).await? {
                SOUND => sound = true,
                _ => others = true,
            },
            _ => source.skip(body).await?,
        }
    }
    Ok(sound && !others)
}

/// RFC 8794, 4 to 6: what comes in front of the body of an element.
struct Element {
    id: u64,
    /// Bytes of this.
    head: u64,
    /// Bytes of the body, where they are said.
    body: Option<u64>,
}

struct Reader {
    source: ByteStream,
    rest: Bytes,
}

impl Reader {
    /// Makes that there is at least one byte at hand.
    async fn fill(&mut self) -> Result<()> {
        while self.rest.is_empty() {
            self.rest = match self.source.next().await {
                Some(Ok(chunk)) => chunk,
                Some(Err(StreamError::TooLarge { .. })) | None => return Err(None),
                Some(Err(error)) => return Err(Some(error)),
            };
        }
        Ok(())
    }

    async fn byte(&mut self) -> Result<u8> {
        self.fill().await?;
        Ok(self.rest.get_u8())
    }

    async fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut taken = [0; N];
        for byte in &mut taken {
            *byte = self.byte().await?;
        }
        Ok(taken)
    }

    async fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            self.fill().await?;
            let step = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.rest.len());
            self.rest.advance(step);
            bytes -= step as u64;
        }
        Ok(())
    }

    /// So many more bytes of a number that begins with `value`.
    async fn number(&mut self, mut value: u64, bytes: u64) -> Result<u64> {
        for _ in 0..bytes {
            value = value << 8 | u64::from(self.byte().await?);
        }
        Ok(value)
    }

    /// A number that says in the zeros of its first byte how many bytes follow: that many, and the number with its mark.
    async fn varying(&mut self) -> Result<(u32, u64)> {
        let first = self.byte().await?;
        let more = first.leading_zeros();
        if more > 7 {
            return Err(None);
        }
        Ok((more, self.number(first.into(), more.into()).await?))
    }

    async fn element(&mut self) -> Result<Element> {
        let (more_of_id, id) = self.varying().await?;
        let (more, length) = self.varying().await?;
        let mark = 1_u64 << (7 * (more + 1));
        let length = length & (mark - 1);
        Ok(Element {
            id,
            head: u64::from(2 + more_of_id + more),
            body: Some(length).filter(|&length| length != mark - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn said(container: Container, source: &[u8]) -> Said {
        let bytes = source.iter().map(|byte| Ok(Bytes::copy_from_slice(&[*byte]))).collect::<Vec<_>>();
        let in_pieces = read(container, ByteStream::new(stream::iter(bytes))).await.unwrap();
        let whole = read(container, Bytes::copy_from_slice(source).into()).await.unwrap();
        assert_eq!(in_pieces, whole);
        whole
    }

    /// An element whose length takes two bytes.
    fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap() | 0x4000;
        [id, &length.to_be_bytes(), body].concat()
    }

    fn webm(info: &[Vec<u8>]) -> Vec<u8> {
        let head = element(b"\x1A\x45\xDF\xA3", b"\x42\x82\x84webm");
        let parts = [element(b"\xEC", b"void"), element(b"\x15\x49\xA9\x66", &info.concat())].concat();
        [head, b"\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec(), parts].concat()
    }

    #[tokio::test]
    async fn matroska_says_it_in_its_own_unit() {
        let ticks = element(b"\x44\x89", &1500_f64.to_be_bytes());
        let scale = element(b"\x2A\xD7\xB1", &[0x0F, 0x42, 0x40]);
        for info in [vec![ticks.clone()], vec![ticks.clone(), scale]] {
            let said = said(Container::WebM, &webm(&info)).await.duration;
            assert_eq!(said, Some(Duration::from_millis(1500)));
        }
        let tenths = element(b"\x2A\xD7\xB1", &100_000_000_u32.to_be_bytes());
        let ticks = element(b"\x44\x89", &15_f32.to_be_bytes());
        let said = said(Container::Matroska, &webm(&[tenths, ticks])).await.duration;
        assert_eq!(said, Some(Duration::from_millis(1500)));
    }

    #[tokio::test]
    async fn matroska_that_does_not_know_says_nothing() {
        for source in [
            webm(&[]),
            webm(&[element(b"\x44\x89", &f64::NAN.to_be_bytes())]),
            webm(&[element(b"\x44\x89", &f64::MAX.to_be_bytes())]),
            webm(&[element(b"\x44\x89", &(-1_f64).to_be_bytes())]),
            webm(&[element(b"\x44\x89", b"odd")]),
            webm(&[b"\x44\x89\xFF".to_vec()]),
            webm(&[b"\x44\x89\x88".to_vec()]),
            b"\0\0\0".to_vec(),
        ] {
            assert_eq!(said(Container::WebM, &source).await.duration, None, "{}", source.escape_ascii());
        }
    }

    #[tokio::test]
    async fn matroska_with_tracks_of_nothing_but_sound_is_sound() {
        let with = async |types: &[u8]| {
            let entry = |kind: &u8| {
                element(b"\xAE", &[element(b"\xD7", b"\x01"), element(b"\x83", &[*kind])].concat())
            };
            let tracks = types.iter().map(entry).collect::<Vec<_>>().concat();
            let source =
                [webm(&[element(b"\x44\x89", &9_f32.to_be_bytes())]), element(b"\x16\x54\xAE\x6B", &tracks)];
            said(Container::WebM, &source.concat()).await.is_sound
        };
        assert!(with(&[2]).await && with(&[2, 2]).await);
        for types in [&[1][..], &[1, 2], &[2, 1], &[17], &[]] {
            assert!(!with(types).await, "{types:?}");
        }
    }

    #[tokio::test]
    async fn tracks_that_broke_off_are_not_known_to_be_sound() {
        let entry = element(b"\xAE", &element(b"\x83", b"\x02"));
        let whole = [webm(&[]), element(b"\x16\x54\xAE\x6B", &entry.repeat(2))].concat();
        for len in 0..whole.len() {
            assert!(!said(Container::WebM, &whole[..len]).await.is_sound, "{len}");
        }
        assert!(said(Container::WebM, &whole).await.is_sound);
    }

    #[tokio::test]
    async fn a_source_that_breaks_off_is_an_error_and_one_that_is_too_long_is_not() {
        let read = |error| {
            let parts = [Ok(Bytes::from_static(b"\0\0\0\x14ftyp")), Err(error)];
            read(Container::Mp4, ByteStream::new(stream::iter(parts)))
        };
        let broken = read(StreamError::Storage("gone".into())).await;
        assert!(matches!(broken, Err(RenderError::Source(StreamError::Storage(_)))), "{broken:?}");
        assert!(matches!(
            read(StreamError::TooLarge { limit: 8 }).await,
            Ok(Said { duration: None, is_sound: false })
        ));
    }
}
