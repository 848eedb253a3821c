//! Makes a thumbnail of one picture: `thumbnail_file IN WIDTHxHEIGHT scale|crop OUT`.

use std::error::Error;
use std::sync::Arc;

use mmr_core::thumbnail::{RenderLimits, RenderPool, Rendered, ThumbnailPolicy, normalise};
use mmr_core::types::{Method, ThumbnailRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, size, method, output] = arguments.as_slice() else {
        return Err("usage: thumbnail_file IN WIDTHxHEIGHT scale|crop OUT".into());
    };
    let (width, height) = size.split_once('x').ok_or("the size is written WIDTHxHEIGHT")?;
    let request = ThumbnailRequest {
        width: width.parse()?,
        height: height.parse()?,
        method: method.parse::<Method>()?,
        animated: None,
        webp: false,
    };

    // The default policy has a list of sizes and leaves WebP out.
    let mut policy = ThumbnailPolicy { dynamic_sizing: true, ..ThumbnailPolicy::default() };
    policy.types.push("image/webp".to_owned());
    let spec = normalise(&request, &policy)?;

    let source = bytes::Bytes::from(std::fs::read(input)?);
    let pool = RenderPool::new(RenderLimits::default());
    let (bytes, content_type, width, height) =
        match pool.render(source.clone(), spec, Arc::new(policy)).await? {
            Rendered::Image { bytes, content_type, width, height } => (bytes, content_type, width, height),
            Rendered::Original { content_type, width, height } => (source, content_type, width, height),
        };
    std::fs::write(output, &bytes)?;
    println!("{spec}: {width}x{height} {content_type}, {} bytes", bytes.len());
    Ok(())
}
