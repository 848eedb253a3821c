//! The frames of a GIF.

use bytes::Bytes;
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, ImageDecoder, Limits};

use super::{Frame, Frames};
use crate::thumbnail::formats::still::{SourceReader, into_render_error};
use crate::thumbnail::render::{Cancelled, RenderError};

/// The way to the frames of a GIF.
pub(in crate::thumbnail::formats) struct GifFrames {
    pub(in crate::thumbnail::formats) source: Bytes,
    pub(in crate::thumbnail::formats) cancelled: Cancelled,
    /// Bytes that the decoder may allocate.
    pub(in crate::thumbnail::formats) allocated: u64,
}

impl GifFrames {
    pub(in crate::thumbnail::formats) fn open(&self) -> Result<Frames, RenderError> {
        let reader = SourceReader::over(self.source.clone(), self.cancelled.clone());
        let mut decoder = GifDecoder::new(reader).map_err(into_render_error)?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.allocated);
        decoder.set_limits(limits).map_err(into_render_error)?;
        Ok(Box::new(decoder.into_frames().map(|frame| {
            let frame = frame.map_err(into_render_error)?;
            let (numerator, denominator) = frame.delay().numer_denom_ms();
            Ok(Frame { rgba: frame.into_buffer().into_raw(), delay: numerator / denominator.max(1) })
        })))
    }
}
