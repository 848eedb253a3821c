//! The first good frame of a video.

use std::{io, time::Duration};

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::ChildStdout,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    ffmpeg::Input,
    kinds::Container,
    process::{Order, Starter},
};
use crate::{thumbnail::RenderError, types::Size};

/// What decoding takes: 4K in HEVC takes 120 MiB.
pub(super) const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Frames are made to fit into this, which is as large as thumbnails get.
const MOST: Size = Size::new(1600, 1200);
pub(super) const MOST_PIXELS: u64 = 1600 * 1200;

/// So many frames are looked at, half a second from one to the next.
const FRAMES: &str = "20";
/// No more of them once this much time has passed, if there is any.
const LOOK: Duration = Duration::from_secs(4);

/// High, as it will be encoded again.
const JPEG_QUALITY: u8 = 95;

/// Those that are needed for what browsers and telephones record.
const DECODERS: &str =
    "h264,hevc,vp8,vp9,av1,libdav1d,libaom-av1,libvpx,libvpx-vp9,mpeg4,mpeg2video,h263,mjpeg,prores,theora";

/// Keeps half seconds apart, makes pixels square, and fits into [`MOST`].
const FILTER: &str = "select='isnan(prev_selected_t)+gte(t-prev_selected_t,0.5)',\
    scale=w='max(1,round(min(1,min(1600/(iw*sar),1200/ih))*iw*sar))'\
    :h='max(1,round(min(1,min(1600/(iw*sar),1200/ih))*ih))'";

/// The first frame that shows something, as a JPEG; or of those looked at the one that shows the most.
pub(super) async fn frame(
    starter: &Starter,
    order: Order<'_>,
    container: Container,
    max_pixels: u64,
) -> Result<Bytes, RenderError> {
    let arguments = arguments(container, max_pixels);
    let mut process = starter.start("ffmpeg", &order, &arguments).map_err(RenderError::Worker)?;
    let best = process.read(async |output: Option<ChildStdout>| match output {
        Some(output) => best_frame(BufReader::with_capacity(64 * 1024, output)).await,
        None => Ok(None),
    });
    match best.await {
        Ok(Some(frame)) => {
            process.succeeded();
            let jpeg = spawn_blocking(move || frame.jpeg()).await;
            jpeg.map_err(|_| RenderError::Crashed)?
        }
        Ok(None) => Err(process.failed("no frame could be decoded").await),
        Err(error) => Err(process.failed(&error.to_string()).await),
    }
}

fn arguments(container: Container, max_pixels: u64) -> Vec<String> {
    let input =
        Input { format: container.format(), decoders: DECODERS, memory_bytes: MEMORY_BYTES, max_pixels };
    // The first stream of video that is not the picture of a cover.
    let output = [
        ["-map", "0:V:0"],
        ["-vf", FILTER],
        ["-vsync", "0"],
        ["-frames:v", FRAMES],
        ["-threads", "1"],
        ["-c:v", "ppm"],
        ["-pix_fmt", "rgb24"],
        ["-f", "image2pipe"],
    ];
    input.into(&[output.as_flattened(), &["pipe:1"]].concat())
}

async fn best_frame(mut output: impl AsyncBufRead + Unpin) -> io::Result<Option<Frame>> {
    let until = Instant::now() + LOOK;
    let Some(mut best) = Frame::read(&mut output).await? else { return Ok(None) };
    while !best.is_good() {
        // A video that breaks off has had its frame.
        let Ok(Ok(Some(next))) = timeout_at(until, Frame::read(&mut output)).await else { break };
        if next.is_good() || next.contrast > best.contrast {
            best = next;
        }
    }
    Ok(Some(best))
}

/// A frame, three bytes a pixel.
#[derive(Debug)]
struct Frame {
    width: u16,
    height: u16,
    data: Vec<u8>,
    /// Mean of the luma.
    brightness: u64,
    /// Its variance.
    contrast: u64,
}

impl Frame {
    /// The next frame in PPM's binary form, as ffmpeg writes it. `None` when there is none.
    async fn read(output: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let magic = line(output).await?;
        if magic.is_empty() {
            return Ok(None);
        }
        let (size, depth) = (line(output).await?, line(output).await?);
        let nonsense = || io::Error::other("it is no frame");
        let (width, height) = size.split_once(' ').ok_or_else(nonsense)?;
        let [width, height] = [width, height].map(|text| text.parse::<u16>().unwrap_or_default());
        let fits = MOST.contains(Size::new(width.into(), height.into())) && width > 0 && height > 0;
        if magic != "P6" || depth != "255" || !fits {
            return Err(nonsense());
        }
        let mut data = vec![0; usize::from(width) * usize::from(height) * 3];
        output.read_exact(&mut data).await?;
        let (brightness, contrast) = statistics(&data);
        Ok(Some(Self { width, height, data, brightness, contrast }))
    }

    /// Whether it is neither black nor of one colour.
    const fn is_good(&self) -> bool {
        self.brightness >= 24 && self.contrast >= 100
    }

    fn jpeg(&self) -> Result<Bytes, RenderError> {
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, JPEG_QUALITY)
            .encode(&self.data, self.width, self.height, ColorType::Rgb)
            .map_err(RenderError::encode)?;
        Ok(jpeg.into())
    }
}

/// A short line without its end; empty at the end of everything.
async fn line(output: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    output.take(16).read_line(&mut line).await?;
    line.truncate(line.trim_end_matches('\n').len());
    Ok(line)
}

/// Mean and variance of the luma, roughly and in some thousands of places.
fn statistics(data: &[u8]) -> (u64, u64) {
    const PLACES: usize = 65_536;
    let step = (data.len() / 3).div_ceil(PLACES).max(1);
    let (mut count, mut sum, mut squares) = (0, 0, 0);
    for pixel in data.chunks_exact(3).step_by(step) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u64::from);
        let luma = (2 * red + 5 * green + blue) / 8;
        count += 1;
        sum += luma;
        squares += luma * luma;
    }
    let count: u64 = count.max(1);
    let mean = sum / count;
    (mean, (squares / count).saturating_sub(mean * mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ppm(colours: &[[u8; 3]]) -> Vec<u8> {
        [format!("P6\n{} 1\n255\n", colours.len()).as_bytes(), colours.as_flattened()].concat()
    }

    async fn best_of(frames: &[Vec<u8>]) -> io::Result<Option<Vec<u8>>> {
        Ok(best_frame(frames.concat().as_slice()).await?.map(|frame| frame.data))
    }

    const BLACK: [u8; 3] = [0; 3];
    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const WHITE: [u8; 3] = [255; 3];

    #[tokio::test]
    async fn the_first_frame_that_shows_something_is_taken() {
        let frames = [ppm(&[BLACK, BLACK]), ppm(&[WHITE, WHITE]), ppm(&[RED, GREEN]), ppm(&[BLACK, WHITE])];
        assert_eq!(best_of(&frames).await.unwrap(), Some([RED, GREEN].concat()));
    }

    #[tokio::test]
    async fn without_a_good_frame_the_most_varied_one_is_taken() {
        let frames = [ppm(&[BLACK, BLACK]), ppm(&[BLACK, [20; 3]]), ppm(&[BLACK, [10; 3]])];
        assert_eq!(best_of(&frames).await.unwrap(), Some([BLACK, [20; 3]].concat()));
        assert_eq!(best_of(&[]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_frame_that_breaks_off_does_not_spoil_the_one_before() {
        let mut broken = ppm(&[RED, GREEN]);
        broken.pop();
        assert_eq!(
            best_of(&[ppm(&[WHITE, WHITE]), broken.clone()]).await.unwrap(),
            Some([WHITE; 2].concat())
        );
        assert!(best_of(&[broken]).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_was_taken_over_cannot_ask_for_memory() {
        for lie in [
            "P6\n60000 60000\n255\n",
            "P6\n1 0\n255\n",
            "P5\n1 1\n255\n",
            "P6\n1 1\n65535\n",
            "\n\n\n\n",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ] {
            let outcome = best_frame(lie.as_bytes()).await;
            assert!(!matches!(outcome, Ok(Some(_))), "{lie}");
        }
    }
}
