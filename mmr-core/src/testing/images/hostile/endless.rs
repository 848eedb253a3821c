//! Files that go on for as long as somebody listens, or lead back to themselves.

use super::super as images;
use super::super::{ApngKind, Part, Tiff};
use super::Specimen;

/// The files. Some have a thumbnail all the same: what matters is that the answer comes, and does not cost much.
#[must_use]
pub fn endless() -> Vec<Specimen> {
    let frames = |count: usize| vec![Part::new((0, 0), &["R"]); count];
    vec![
        Specimen::new("endless.gif", images::endless_gif(400, 70_000)),
        Specimen::new("endless-large.gif", images::endless_gif(1500, 70_000)),
        Specimen::new("endless.png", images::moving_png(2000, 2000, 0, ApngKind::Usual, &frames(2000))),
        Specimen::new("endless-claim.png", png_of_frames(u32::MAX)),
        Specimen::new("endless.webp", images::moving_webp(2000, 2000, 0, &frames(20_000))),
        Specimen::new("endless-pages.tiff", tiff_loop()),
        Specimen::new(
            "endless-page.pdf",
            images::pdf_of("0 0 2000000000 1000000000", "", b"1 0 0 rg 0 0 1 1 re f"),
        ),
        Specimen::new("endless-nothing.pdf", images::pdf_of("0 0 0 0", "", b"")),
        Specimen::new("endless-numbers.pdf", images::pdf_of("0 0 10 10", "", &b"1 0 0 rg ".repeat(100_000))),
        Specimen::new("endless-samples.flac", flac_of_all_samples()),
        Specimen::new("endless-samples.wav", wav_of_all_samples()),
        Specimen::new("endless-pages.ogg", vorbis_again_and_again(200)),
        Specimen::new("endless-frames.mp3", images::mp3().repeat(300)),
        Specimen::new("archive-behind.png", [&images::png(48, 36)[..], b"PK\x05\x06", &[0; 18]].concat()),
        Specimen::new("document-behind.jpg", [images::jpeg(48, 36), images::pdf(48, 36)].concat()),
    ]
}

/// Announces more frames than there are.
fn png_of_frames(count: u32) -> Vec<u8> {
    let mut file = images::animated_png(48, 36).to_vec();
    if let Some(at) = file.windows(4).position(|window| window == b"acTL") {
        file[at + 4..at + 8].copy_from_slice(&count.to_be_bytes());
    }
    file
}

/// A directory whose next directory is itself.
fn tiff_loop() -> Vec<u8> {
    let mut file = Tiff::rgb(48, 36).file().to_vec();
    let end = file.len() - 4;
    let at: [u8; 4] = [file[4], file[5], file[6], file[7]];
    file[end..].copy_from_slice(&at);
    file
}

/// Half a second that says it is 2^36 samples.
fn flac_of_all_samples() -> Vec<u8> {
    let mut file = images::flac(None).to_vec();
    file[21] |= 0x0F;
    file[22..26].fill(0xFF);
    file
}

/// Half a second that says it is 4 GiB.
fn wav_of_all_samples() -> Vec<u8> {
    let mut file = images::wav(4000).to_vec();
    file[4..8].fill(0xFF);
    file[40..44].fill(0xFF);
    file
}

/// The same stream, its beginning included, over and over.
fn vorbis_again_and_again(times: usize) -> Vec<u8> {
    images::vorbis().repeat(times)
}
