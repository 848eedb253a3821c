//! What ffmpeg is told of every source.

use super::scratch::SOURCE;

/// How a source is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    /// The name of the format, whatever the content looks like: a list of other files to open, for instance.
    pub(super) format: &'static str,
    /// A decoder that is not needed is one that cannot be attacked.
    pub(super) decoders: &'static str,
    pub(super) memory_bytes: u64,
    pub(super) max_pixels: u64,
}

impl Input {
    /// Arguments, with those that say what to make of it.
    pub(super) fn into(self, output: &[&str]) -> Vec<String> {
        let max_pixels = self.max_pixels.min(i32::MAX as u64).to_string();
        let max_alloc = (self.memory_bytes / 2).to_string();
        let source = format!("file:{SOURCE}");
        let general =
            ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-max_alloc", &max_alloc];
        let input = [
            ["-filter_threads", "1"],
            ["-f", self.format],
            ["-protocol_whitelist", "file,pipe"],
            ["-codec_whitelist", self.decoders],
            ["-max_pixels", &max_pixels],
            ["-threads", "1"],
            ["-i", &source],
        ];
        let arguments = general.iter().chain(input.as_flattened()).chain(output);
        arguments.map(|argument| (*argument).to_owned()).collect()
    }
}
