//! Opus, which symphonia reads out of its container but does not decode.

use opus_decoder::OpusDecoder;
use symphonia::core::codecs::audio::AudioCodecParameters;

/// Decodes packets of a stream of one or two channels, at 48 kHz.
pub(super) struct Opus {
    decoder: OpusDecoder,
    channels: usize,
    samples: Vec<f32>,
}

impl Opus {
    /// `None` where the stream has more channels, or none.
    pub(super) fn new(parameters: &AudioCodecParameters) -> Option<Self> {
        const RATE: u32 = 48_000;
        /// Where the first packet says how many channels there are, and how they are mapped.
        const CHANNELS: usize = 9;
        const MAPPING: usize = 18;
        let head = parameters.extra_data.as_deref()?;
        let channels = usize::from(*head.get(CHANNELS)?);
        if *head.get(MAPPING)? != 0 {
            return None;
        }
        let decoder = OpusDecoder::new(RATE, channels).ok()?;
        let samples = vec![0.0; OpusDecoder::MAX_FRAME_SIZE_48K * channels];
        Some(Self { decoder, channels, samples })
    }

    pub(super) fn reset(&mut self) {
        self.decoder.reset();
    }

    /// The samples of a packet, interleaved, and how many channels they are of; none of a damaged one.
    pub(super) fn decode(&mut self, packet: &[u8]) -> (&[f32], usize) {
        // An empty packet would be taken for a lost one.
        let frames = if packet.is_empty() {
            0
        } else {
            self.decoder.decode_float(packet, &mut self.samples, false).unwrap_or_default()
        };
        (self.samples.get(..frames * self.channels).unwrap_or_default(), self.channels)
    }
}
