//! Which programs there are.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where the programs are. What is `None` is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// `ffmpeg`, version 4.4 or newer, for videos and Opus.
    pub ffmpeg: Option<PathBuf>,
    /// `heif-dec` or `heif-convert` of libheif, for HEIC.
    pub heif: Option<PathBuf>,
}

pub(super) const NO_FFMPEG: &str = "videos and Opus need ffmpeg, which was not found (Debian package ffmpeg)";
pub(super) const NO_HEIF: &str =
    "HEIC needs heif-dec or heif-convert, which were not found (Debian package libheif-examples)";

impl Tools {
    /// Looks in the directories of `path`, which is of the form of the variable `PATH`.
    #[must_use]
    pub fn find(path: &OsStr) -> Self {
        let find = |names: &[&str]| names.iter().find_map(|name| find(path, name));
        Self { ffmpeg: find(&["ffmpeg"]), heif: find(&["heif-dec", "heif-convert"]) }
    }

    /// One line for each program, for logs.
    #[must_use]
    pub fn summary(&self) -> [String; 2] {
        let line = |what: &str, program: Option<&Path>, missing: &str| {
            let mut line = format!("thumbnails of {what}: ");
            let _ = match program {
                Some(program) => write!(line, "{}", program.display()),
                None => write!(line, "none; {missing}"),
            };
            line
        };
        [
            line("videos and Opus", self.ffmpeg.as_deref(), NO_FFMPEG),
            line("HEIC", self.heif.as_deref(), NO_HEIF),
        ]
    }
}

fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|directory| directory.is_absolute()).find_map(|directory| {
        // Resolved, because what a link points to may be out of reach for a program that is locked in.
        let program = directory.join(name).canonicalize().ok()?;
        let data = program.metadata().ok()?;
        (data.is_file() && data.permissions().mode() & 0o111 != 0).then_some(program)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_an_executable_file_in_an_absolute_directory() {
        let directory = tempfile::tempdir().unwrap();
        let ffmpeg = directory.path().canonicalize().unwrap().join("ffmpeg");
        fs::write(&ffmpeg, "").unwrap();
        assert_eq!(Tools::find(directory.path().as_os_str()), Tools::default());
        fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
        let found = Tools::find(directory.path().as_os_str());
        assert_eq!(found, Tools { ffmpeg: Some(ffmpeg), heif: None });
        assert_eq!(Tools::find(OsStr::new("bin:.:")), Tools::default());
    }

    #[test]
    fn what_is_not_there_is_named_with_its_package() {
        let [videos, heic] = Tools::default().summary();
        assert!(videos.contains("ffmpeg") && videos.contains("Debian package"), "{videos}");
        assert!(heic.contains("libheif-examples"), "{heic}");
    }
}
