//! What a file in the container of ISO base media says of all of it: how long it plays, and whether there is anything to
//! see.

use std::{mem, time::Duration};

/// Looks for the box `moov` (ISO 14496-12, 8.2) in bytes that go by, wherever in the file that is. Of what does not matter
/// nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Movie {
    position: u64,
    /// Bytes to pass over before the next part.
    skip: u64,
    part: Part,
    taken: Vec<u8>,
    boxes: u32,
    /// Whether brands came first.
    branded: bool,
    /// Where `moov` ends, once it has begun.
    end: Option<u64>,
    duration: Option<Duration>,
    tracks: Tracks,
    over: bool,
}

/// Of what there are tracks.
#[derive(Debug, Default)]
struct Tracks {
    sound: bool,
    pictures: bool,
}

/// What is read next.
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    /// A length of four bytes and a name.
    #[default]
    Head,
    /// A length of eight bytes.
    Length(Name),
    /// The first so many bytes of a body, and how many more there are.
    Body(Name, usize, u64),
}

type Name = [u8; 4];

impl Movie {
    /// Looks at all of a source.
    pub(super) fn of(source: &[u8]) -> Self {
        let mut movie = Self::default();
        movie.feed(source);
        movie
    }

    /// Looks at the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.over && !bytes.is_empty() {
            let missing = self.part.len() - self.taken.len();
            let step = match self.skip {
                0 => missing,
                skip => usize::try_from(skip).unwrap_or(usize::MAX),
            };
            let (now, rest) = bytes.split_at(step.min(bytes.len()));
            bytes = rest;
            self.position += now.len() as u64;
            if self.skip > 0 {
                self.skip -= now.len() as u64;
            } else {
                self.taken.extend_from_slice(now);
                if now.len() == missing {
                    let part = mem::take(&mut self.taken);
                    self.over = self.read(&part).is_none();
                }
            }
            let told = self.tracks.pictures && self.duration.is_some();
            self.over |= told || self.is_past_its_end();
        }
    }

    /// Whether more bytes would say nothing new.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// How long it says that it plays.
    pub(super) const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Whether there is a track of pictures among those that have gone by.
    pub(super) const fn has_pictures(&self) -> bool {
        self.tracks.pictures
    }

    /// Whether it has sound and nothing to see. That is so once all tracks have gone by.
    pub(super) fn is_sound(&self) -> bool {
        self.branded && self.tracks.sound && !self.tracks.pictures && self.is_past_its_end()
    }

    fn is_past_its_end(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    /// `None` for what makes no sense.
    fn read(&mut self, part: &[u8]) -> Option<()> {
        match mem::take(&mut self.part) {
            Part::Head => {
                let name = *part.get(4..)?.first_chunk()?;
                match number(part)? {
                    // Up to the end of the file.
                    0 => self.enter(name, u64::MAX),
                    1 => {
                        self.part = Part::Length(name);
                        Some(())
                    }
                    length => self.enter(name, u64::from(length).checked_sub(8)?),
                }
            }
            Part::Length(name) => {
                let length = u64::from_be_bytes(*part.first_chunk()?);
                self.enter(name, length.checked_sub(16)?)
            }
            Part::Body(name, _, rest) => {
                self.skip = rest;
                match &name {
                    b"mvhd" => self.duration = duration(part),
                    // 8.4.3: what a track is of, behind version, flags and four more bytes.
                    _ => match part.get(8..12)? {
                        b"vide" => self.tracks.pictures = true,
                        b"soun" => self.tracks.sound = true,
                        _ => {}
                    },
                }
                Some(())
            }
        }
    }

    /// Goes on in a box, whose body comes next. What surrounds the boxes that matter needs no passing over, so that
    /// nothing of the tree has to be remembered.
    fn enter(&mut self, name: Name, body: u64) -> Option<()> {
        /// Those that matter come among some dozens.
        const MOST_BOXES: u32 = 10_000;
        /// As much as matters of one.
        const MOST_BYTES: u64 = 32;
        self.branded |= self.boxes == 0 && name == *b"ftyp";
        self.boxes += 1;
        if self.boxes > MOST_BOXES {
            return None;
        }
        match (&name, self.end) {
            (b"moov", None) => self.end = Some(self.position.saturating_add(body)),
            (b"trak" | b"mdia", Some(_)) => {}
            (b"mvhd" | b"hdlr", Some(_)) if body > 0 => {
                let most = body.min(MOST_BYTES);
                self.part = Part::Body(name, usize::try_from(most).ok()?, body - most);
            }
            _ => self.skip = body,
        }
        Some(())
    }
}

impl Part {
    /// In bytes, at least one.
    const fn len(self) -> usize {
        match self {
            Self::Head | Self::Length(_) => 8,
            Self::Body(_, len, _) => len,
        }
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// 8.2.2: what the body of `mvhd` says, if it is known.
fn duration(body: &[u8]) -> Option<Duration> {
    let (rate, ticks) = if *body.first()? == 0 {
        let ticks = number(body.get(16..)?)?;
        (number(body.get(12..)?)?, Some(u64::from(ticks)).filter(|_| ticks != u32::MAX)?)
    } else {
        let ticks = u64::from_be_bytes(*body.get(24..)?.first_chunk()?);
        (number(body.get(20..)?)?, Some(ticks).filter(|&ticks| ticks != u64::MAX)?)
    };
    let nanos = (u128::from(ticks) * 1_000_000_000).checked_div(rate.into())?;
    let duration = Duration::from_nanos(u64::try_from(nanos).ok()?);
    Some(duration).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(name: Name, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &name, body].concat()
    }

    fn header(version: u8, rate: u32, ticks: &[u8]) -> Vec<u8> {
        let times = if version == 0 { 8 } else { 16 };
        let body = [&[version, 0, 0, 0][..], &vec![7; times], &rate.to_be_bytes(), ticks, &[0; 80]].concat();
        atom(*b"mvhd", &body)
    }

    fn track(kind: Name) -> Vec<u8> {
        let handler =
            atom(*b"hdlr", &[b"\0\0\0\0mhlr", &kind[..], b"and a name that is somewhat longer"].concat());
        let more = atom(*b"minf", &atom(*b"hdlr", b"\0\0\0\0dhlrvide"));
        atom(*b"trak", &[atom(*b"tkhd", b"x"), atom(*b"mdia", &[handler, more].concat())].concat())
    }

    /// A file with `moov` at its end.
    fn mp4(moov: &[Vec<u8>]) -> Vec<u8> {
        let long = [b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x15", &[9; 5][..]].concat();
        [atom(*b"ftyp", b"isom\0\0\0\0"), long, atom(*b"moov", &moov.concat())].concat()
    }

    /// What the movie is, which does not depend on the pieces in which it comes.
    fn of(source: &[u8]) -> Movie {
        let (whole, mut in_pieces) = (Movie::of(source), Movie::default());
        for byte in source {
            in_pieces.feed(&[*byte]);
        }
        assert_eq!((in_pieces.duration(), in_pieces.is_sound()), (whole.duration(), whole.is_sound()));
        whole
    }

    #[test]
    fn a_movie_says_in_its_header_how_long_it_plays_wherever_that_is() {
        let short = mp4(&[atom(*b"free", b"x"), header(0, 600, &900_u32.to_be_bytes())]);
        assert_eq!(of(&short).duration(), Some(Duration::from_millis(1500)));
        let long = mp4(&[header(1, 1_000_000, &2_500_000_u64.to_be_bytes())]);
        assert_eq!(of(&long).duration(), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn a_movie_that_does_not_know_says_nothing() {
        for source in [
            mp4(&[header(0, 600, &u32::MAX.to_be_bytes())]),
            mp4(&[header(0, 600, &0_u32.to_be_bytes())]),
            mp4(&[header(0, 0, &9_u32.to_be_bytes())]),
            mp4(&[header(1, 1, &u64::MAX.to_be_bytes())]),
            mp4(&[header(1, 1, &(u64::MAX - 1).to_be_bytes())]),
            mp4(&[atom(*b"mvhd", b"")]),
            mp4(&[atom(*b"mvhd", b"\0\0\0\0")]),
            atom(*b"ftyp", b"isom"),
            b"\0\0\0\0mdat and so on".to_vec(),
            b"\0\0\0\x02free".to_vec(),
            b"\0\0\0\x01free\0\0\0\0\0\0\0\x08".to_vec(),
        ] {
            assert_eq!(of(&source).duration(), None, "{}", source.escape_ascii());
        }
    }

    #[test]
    fn sound_is_what_has_a_track_of_it_and_none_of_pictures() {
        let header = || header(0, 600, &900_u32.to_be_bytes());
        assert!(of(&mp4(&[header(), track(*b"soun")])).is_sound());
        assert!(of(&mp4(&[track(*b"meta"), track(*b"soun")])).is_sound());
        for tracks in [&[*b"vide"][..], &[*b"soun", *b"vide"], &[*b"vide", *b"soun"], &[*b"text"], &[]] {
            let tracks: Vec<_> = tracks.iter().copied().map(track).collect();
            let movie = of(&mp4(&[header(), tracks.concat()]));
            assert!(!movie.is_sound(), "{movie:?}");
        }
    }

    #[test]
    fn what_was_cut_short_may_have_had_pictures() {
        let source = mp4(&[header(0, 600, &900_u32.to_be_bytes()), track(*b"soun")]);
        for len in 0..source.len() {
            assert!(!of(&source[..len]).is_sound(), "{len}");
        }
    }

    #[test]
    fn what_names_no_brand_is_not_known_to_be_sound() {
        let moov = atom(*b"moov", &track(*b"soun"));
        assert!(!of(&moov).is_sound());
        assert!(!of(&[atom(*b"wide", b""), atom(*b"ftyp", b"isom"), moov].concat()).is_sound());
    }

    #[test]
    fn a_movie_ends_where_it_says() {
        let source = [atom(*b"ftyp", b"isom"), atom(*b"moov", &track(*b"soun")), track(*b"vide")].concat();
        assert!(of(&source).is_sound());
    }

    #[test]
    fn boxes_without_end_are_not_followed() {
        let source =
            [b"\0\0\0\x08free".repeat(20_000), mp4(&[header(0, 600, &9_u32.to_be_bytes())])].concat();
        let movie = of(&source);
        assert!(movie.is_over() && movie.duration().is_none());
    }
}
