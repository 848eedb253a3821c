//! Packs relocations where the C library can unpack them: the 2 MB that they take otherwise are read at each start, and
//! stay in the memory of the server and of each of its workers. `MMR_PACK_RELOCATIONS=0` leaves them as they are, for a
//! binary that is to run on an older C library than the one it is built on.

#![expect(clippy::disallowed_methods, reason = "that is how cargo speaks to build scripts")]

use std::{env, process::Command};

/// The first glibc that understands `DT_RELR`.
const UNDERSTANDS: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MMR_PACK_RELOCATIONS");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // What is built for another machine may run on any C library.
    let for_this_machine = env::var("HOST").ok() == env::var("TARGET").ok();
    let wanted = !is("MMR_PACK_RELOCATIONS", "0");
    if wanted && glibc && for_this_machine && version().is_some_and(|version| version >= UNDERSTANDS) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Of the C library of this machine, which says `glibc 2.36`.
fn version() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
