//! Fonts of the system, a few: text of a drawing is shown in one of these or not at all.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use resvg::usvg::fontdb::Database;

/// Where fonts are installed.
const DIRECTORIES: [&str; 4] = [
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/run/current-system/sw/share/X11/fonts",
    "/Library/Fonts",
];

/// For each kind of text its families, the first one that is there counts: the name, and the files.
const SANS: [(&str, [&str; 2]); 3] = [
    ("DejaVu Sans", ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"]),
    ("Liberation Sans", ["LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"]),
    ("Noto Sans", ["NotoSans-Regular.ttf", "NotoSans-Bold.ttf"]),
];
const SERIF: [(&str, [&str; 2]); 3] = [
    ("DejaVu Serif", ["DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"]),
    ("Liberation Serif", ["LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"]),
    ("Noto Serif", ["NotoSerif-Regular.ttf", "NotoSerif-Bold.ttf"]),
];
const MONO: [(&str, [&str; 2]); 3] = [
    ("DejaVu Sans Mono", ["DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"]),
    ("Liberation Mono", ["LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"]),
    ("Noto Sans Mono", ["NotoSansMono-Regular.ttf", "NotoSansMono-Bold.ttf"]),
];

const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Open files, read when the first drawing comes.
#[derive(Debug, Default)]
pub(super) struct Fonts {
    families: [Option<&'static str>; 3],
    files: Mutex<Vec<File>>,
    database: OnceLock<Arc<Database>>,
}

impl Fonts {
    pub(super) fn open() -> Self {
        let mut found = Vec::new();
        for directory in DIRECTORIES {
            collect(Path::new(directory), 3, &mut found);
        }
        Self::among(&found)
    }

    fn among(found: &[PathBuf]) -> Self {
        let mut files = Vec::new();
        let families = [SANS, SERIF, MONO].map(|choices| {
            choices.into_iter().find_map(|(family, names)| {
                let of = |name: &str| {
                    let path = found.iter().find(|path| path.file_name().is_some_and(|file| file == name))?;
                    File::open(path).ok()
                };
                let [regular, bold] = names.map(of);
                files.push(regular?);
                files.extend(bold);
                Some(family)
            })
        });
        Self { families, files: Mutex::new(files), database: OnceLock::new() }
    }

    pub(super) fn database(&self) -> Arc<Database> {
        Arc::clone(self.database.get_or_init(|| Arc::new(self.read())))
    }

    fn read(&self) -> Database {
        let mut database = Database::new();
        let mut left = MAX_BYTES;
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        for file in files {
            let mut font = Vec::new();
            // One more than is left tells a file that does not fit.
            let whole = file.take(left + 1).read_to_end(&mut font).is_ok() && font.len() as u64 <= left;
            if whole {
                left -= font.len() as u64;
                database.load_font_data(font);
            }
        }
        let [sans, serif, mono] = self.families;
        let any = sans.or(serif).or(mono);
        if let Some(family) = sans.or(any) {
            database.set_sans_serif_family(family);
            database.set_cursive_family(family);
            database.set_fantasy_family(family);
        }
        if let Some(family) = serif.or(any) {
            database.set_serif_family(family);
        }
        if let Some(family) = mono.or(any) {
            database.set_monospace_family(family);
        }
        database
    }
}

/// The files of interest below a directory.
fn collect(directory: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    const MOST: usize = 2000;
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.take(MOST).flatten() {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if [SANS, SERIF, MONO].iter().flatten().any(|(_, files)| files.contains(&name)) {
            found.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_fonts_has_an_empty_database() {
        assert!(Fonts::among(&[]).database().is_empty());
    }

    #[test]
    fn what_is_no_font_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DejaVuSans.ttf");
        fs::write(&path, b"no font").unwrap();
        let mut found = Vec::new();
        collect(directory.path(), 1, &mut found);
        assert_eq!(found, [path]);
        assert!(Fonts::among(&found).database().is_empty());
    }

    #[test]
    fn fonts_larger_than_the_limit_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("DejaVuSans.ttf");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(Fonts::among(&[path]).database().is_empty());
    }
}
