//! How loud a file is from its beginning to its end.
//!
//! Files of some minutes are decoded from beginning to end. Of longer ones a second is decoded at each of as many places
//! as there are bars. Files that do not say how long they are are shown by their first minutes.

use std::time::Duration;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::Time;

use super::into_render_error;
use crate::thumbnail::render::{Cancelled, RenderError};

/// How many bars a sound becomes.
const BARS: u32 = 192;
/// Files that are longer are decoded in places, in seconds.
const MAX_SECONDS: f64 = 240.0;
/// Seconds decoded at each place.
const PLACE_SECONDS: f64 = 1.25;
/// Steps of a second in which loudness is taken down.
const STEPS: u64 = 200;
const MAX_STEPS: usize = 48_000;
/// Samples of all channels, at most. Sample rates and counts of channels are whatever a file says.
const MAX_SAMPLES: u64 = 48_000_000;
const MAX_PACKETS: u32 = 200_000;

/// Bytes of all steps.
pub(super) const BYTES: u64 = 16 * MAX_STEPS as u64;

/// How long the first track of sound plays, by its headers.
pub(super) fn duration(reader: &dyn FormatReader) -> Option<Duration> {
    let track = reader.first_track(TrackType::Audio)?;
    let frames = || track.num_frames.map(symphonia::core::units::Duration::new);
    let nanos = track.time_base?.calc_duration(track.duration.or_else(frames)?)?.as_nanos();
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// Whether there is a decoder.
pub(super) fn is_known(reader: &dyn FormatReader) -> bool {
    match reader.first_track(TrackType::Audio).and_then(|track| track.codec_params.as_ref()) {
        Some(CodecParameters::Audio(parameters)) => {
            symphonia::default::get_codecs().get_audio_decoder(parameters.codec).is_some()
        }
        _ => false,
    }
}

/// Bytes that the tables of the decoder take.
pub(super) fn table_bytes(reader: &dyn FormatReader) -> u64 {
    match reader.first_track(TrackType::Audio).and_then(|track| track.codec_params.as_ref()) {
        Some(CodecParameters::Audio(AudioCodecParameters {
            codec: CODEC_ID_VORBIS,
            extra_data: Some(header),
            ..
        })) => super::vorbis::table_bytes(header),
        _ => 0,
    }
}

/// How loud each part is, relative to the loudest.
pub(super) fn bars(reader: Box<dyn FormatReader>, cancelled: &Cancelled) -> Result<Vec<f64>, RenderError> {
    let track = reader.first_track(TrackType::Audio).ok_or_else(|| RenderError::decode("no sound"))?;
    let duration = duration(&*reader).map(|duration| duration.as_secs_f64());
    let decoder = Decoder::of(track)?;
    let mut listener = Listener { track: track.id, reader, decoder, cancelled, packets: 0, samples: 0 };
    let mut heard = match duration {
        Some(seconds) if seconds > MAX_SECONDS => listener.in_places(seconds)?,
        _ => listener.all_of_it()?,
    };
    let loudest = heard.iter().copied().fold(0.0, f64::max);
    if loudest > 0.0 {
        for bar in &mut heard {
            *bar /= loudest;
        }
    }
    Ok(heard)
}

/// Squares of samples, and how many.
#[derive(Clone, Copy, Debug, Default)]
struct Power {
    sum: f64,
    count: u32,
}

impl Power {
    fn add(&mut self, samples: &[f32]) {
        for sample in samples.iter().filter(|sample| sample.is_finite()) {
            self.sum += f64::from(*sample).powi(2);
            self.count = self.count.saturating_add(1);
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count.saturating_add(other.count) }
    }

    fn loudness(self) -> f64 {
        (self.sum / f64::from(self.count.max(1))).sqrt()
    }
}

struct Listener<'a> {
    track: u32,
    reader: Box<dyn FormatReader>,
    decoder: Decoder,
    cancelled: &'a Cancelled,
    packets: u32,
    samples: u64,
}

impl Listener<'_> {
    fn all_of_it(&mut self) -> Result<Vec<f64>, RenderError> {
        let mut steps: Vec<Power> = Vec::new();
        let mut frame: u64 = 0;
        while let Some(packet) = self.next()? {
            let Some(heard) = self.decoder.decode(&packet)? else { continue };
            self.samples += heard.samples.len() as u64;
            for samples in heard.samples.chunks(heard.channels.max(1)) {
                let step =
                    usize::try_from(frame * STEPS / u64::from(heard.rate.max(1))).unwrap_or(usize::MAX);
                if step >= MAX_STEPS {
                    return Ok(fold(&steps));
                }
                if steps.len() <= step {
                    steps.resize(step + 1, Power::default());
                }
                if let Some(step) = steps.get_mut(step) {
                    step.add(samples);
                }
                frame += 1;
            }
        }
        if steps.is_empty() { Err(RenderError::decode("no sound in it")) } else { Ok(fold(&steps)) }
    }

    fn in_places(&mut self, seconds: f64) -> Result<Vec<f64>, RenderError> {
        let mut bars = Vec::new();
        let mut heard = 0;
        for place in 0..BARS {
            let there = self.seek(seconds * f64::from(place) / f64::from(BARS));
            let power = if there { self.place()? } else { Power::default() };
            heard += u32::from(power.count > 0);
            bars.push(power.loudness());
        }
        // A file that is not nearly as long as it says.
        if heard < BARS / 2 && self.seek(0.0) { self.all_of_it() } else { Ok(bars) }
    }

    fn seek(&mut self, seconds: f64) -> bool {
        let time = Time::try_from_secs_f64(seconds).unwrap_or_default();
        let sought = self.reader.seek(SeekMode::Coarse, SeekTo::Time { time, track_id: Some(self.track) });
        self.decoder.decoder.reset();
        sought.is_ok()
    }

    /// What is heard at a place: at least one packet, whatever its length.
    fn place(&mut self) -> Result<Power, RenderError> {
        let mut power = Power::default();
        let mut left = PLACE_SECONDS;
        let end = self.samples + MAX_SAMPLES / u64::from(BARS);
        while left > 0.0 && self.samples < end {
            let Some(packet) = self.next()? else { break };
            let Some(heard) = self.decoder.decode(&packet)? else { continue };
            power.add(heard.samples);
            let frames = u32::try_from(heard.samples.len() / heard.channels.max(1)).unwrap_or(u32::MAX);
            left -= f64::from(frames) / f64::from(heard.rate.max(1));
            self.samples += heard.samples.len() as u64;
        }
        Ok(power)
    }

    /// The next packet of the track; `None` at the end of what there is or is to be decoded.
    fn next(&mut self) -> Result<Option<Packet>, RenderError> {
        while self.packets < MAX_PACKETS && self.samples < MAX_SAMPLES {
            if self.cancelled.get() {
                return Err(RenderError::Deadline);
            }
            self.packets += 1;
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) | Err(Error::DecodeError(_)) => {}
                // What came before a file broke off is shown.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Brings steps to as many bars, each the loudness of its part.
fn fold(steps: &[Power]) -> Vec<f64> {
    let (len, bars) = (steps.len(), BARS as usize);
    let part = |bar: usize| {
        let from = bar * len / bars;
        let to = ((bar + 1) * len / bars).max(from + 1);
        steps.get(from..to).unwrap_or_default().iter().copied().fold(Power::default(), Power::plus)
    };
    (0..bars).map(|bar| part(bar).loudness()).collect()
}

/// Samples of a packet, interleaved.
struct Heard<'a> {
    samples: &'a [f32],
    channels: usize,
    rate: u32,
}

struct Decoder {
    decoder: Box<dyn AudioDecoder>,
    samples: Vec<f32>,
}

impl Decoder {
    fn of(track: &Track) -> Result<Self, RenderError> {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(RenderError::Unsupported("codec is not known".to_owned()));
        };
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(into_render_error)?;
        Ok(Self { decoder, samples: Vec::new() })
    }

    /// `None` for a damaged packet.
    fn decode(&mut self, packet: &Packet) -> Result<Option<Heard<'_>>, RenderError> {
        match self.decoder.decode(packet) {
            Ok(buffer) => {
                buffer.copy_to_vec_interleaved(&mut self.samples);
                let (channels, rate) = (buffer.num_planes(), buffer.spec().rate());
                Ok(Some(Heard { samples: &self.samples, channels, rate }))
            }
            Err(Error::DecodeError(_) | Error::IoError(_)) => Ok(None),
            Err(error) => Err(into_render_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_steps_than_bars_are_repeated() {
        let steps = [1.0, 4.0].map(|sum| Power { sum, count: 1 });
        let bars = fold(&steps);
        assert_eq!((bars.len(), bars[0], bars[95], bars[96]), (192, 1.0, 1.0, 2.0));
    }

    #[test]
    fn numbers_that_are_none_are_silent() {
        let mut power = Power::default();
        power.add(&[f32::NAN, f32::INFINITY, 0.5]);
        assert!((power.loudness() - 0.5).abs() < 1e-9);
    }
}
