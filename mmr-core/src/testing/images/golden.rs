//! One well-formed file of every kind that can be thumbnailed, each small.

use super::hostile::Specimen;

/// The files. Those of pictures show the corners of [`CORNERS`](super::CORNERS) where their kind allows it.
#[must_use]
pub fn specimens() -> Vec<Specimen> {
    let mut all = vec![
        Specimen::new("jpeg.jpg", super::jpeg(48, 36)),
        Specimen::new("jpeg-progressive.jpg", super::progressive_jpeg(48, 36)),
        Specimen::new("jpeg-grey.jpg", super::grey_jpeg(48, 36)),
        Specimen::new("jpeg-cmyk.jpg", super::cmyk_jpeg(48, 36)),
        Specimen::new("jpeg-ycck.jpg", super::ycck_jpeg(48, 36)),
        Specimen::new("jpeg-profile.jpg", super::jpeg_with_profile(48, 36, &super::display_p3_profile())),
        Specimen::new("png.png", super::png(48, 36)),
        Specimen::new("png-grey.png", super::grey_png(48, 36)),
        Specimen::new("png-alpha.png", super::alpha_png(48, 36)),
        Specimen::new("png-palette.png", super::palette_png(48, 36)),
        Specimen::new("png-16-bit.png", super::sixteen_bit_png(48, 36)),
        Specimen::new("apng.png", super::animated_png(48, 36)),
        Specimen::new("gif.gif", super::gif(48, 36)),
        Specimen::new("gif-animated.gif", super::animated_gif(48, 36, 5)),
        Specimen::new("webp-lossless.webp", super::lossless_webp(48, 36)),
        Specimen::new("webp-lossy.webp", super::lossy_webp()),
        Specimen::new("webp-alpha.webp", super::alpha_webp(48, 36)),
        Specimen::new("webp-animated.webp", super::animated_webp(48, 36, 5)),
    ];
    for orientation in 1..=8 {
        let name = |kind: &str, ending: &str| format!("{kind}-orientation-{orientation}.{ending}");
        all.push(Specimen::new(name("jpeg", "jpg"), super::jpeg_with_orientation(48, 36, orientation)));
        all.push(Specimen::new(name("png", "png"), super::png_with_orientation(48, 36, orientation)));
        all.push(Specimen::new(name("webp", "webp"), super::webp_with_orientation(48, 36, orientation)));
    }
    all
}
