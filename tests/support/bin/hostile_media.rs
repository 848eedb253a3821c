//! Writes files that mean harm into a directory, for the end-to-end tests and the benches.

use std::{env, fs, io, path::PathBuf};

use mmr_core::testing::images::{
    golden,
    hostile::{self, Specimen},
};

const USAGE: &str = "Usage: hostile-media DIRECTORY FLIPS\n
Writes into sub-directories of DIRECTORY:
  bombs      small files that expand beyond measure, and files that are something else: none has a thumbnail
  damaged    each golden file cut at every quarter, and FLIPS times with bits turned; files without end
  golden     well-formed files of every format";

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(directory), Some(Ok(flips))) =
        (arguments.next().map(PathBuf::from), arguments.next().map(|n| n.parse()))
    else {
        return Err(io::Error::other(USAGE));
    };
    let golden = golden::specimens();
    let bombs: Vec<Specimen> = hostile::bombs().into_iter().chain(hostile::polyglots()).collect();
    let mut damaged: Vec<Specimen> = (0..)
        .zip(&golden)
        .flat_map(|(seed, whole)| {
            let mut damaged = hostile::truncated(whole);
            damaged.extend(hostile::flipped(whole, flips, seed));
            damaged
        })
        .collect();
    damaged.extend(hostile::endless());
    for (name, specimens) in [("bombs", &bombs), ("damaged", &damaged), ("golden", &golden)] {
        let directory = directory.join(name);
        fs::create_dir_all(&directory)?;
        for Specimen { name, bytes } in specimens {
            fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}
