//! Commands of `mmr-server`, run as people run them.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use bytes::Bytes;
use mmr_core::testing::images;
use tempfile::TempDir;

/// A directory with one file, `source`.
struct Bench(TempDir);

impl Bench {
    fn with(source: Bytes) -> Self {
        let bench = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::write(bench.path("source"), source).expect("the directory takes files");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `mmr-server thumbnail` in the directory.
    fn run(&self, args: &str) -> Output {
        self.command(&format!("thumbnail {args}"))
    }

    fn command(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mmr-server"))
            .env_remove("REPO_CONFIG")
            .args(args.split_whitespace())
            .current_dir(&self.0)
            .output()
            .expect("the program starts")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_thumbnail_is_written_and_described() {
    let bench = Bench::with(images::png(400, 300));
    let output = bench.run("-i source -o small.png -w 100 -h 100");
    assert!(output.status.success(), "{}", said(&output));
    let thumbnail = fs::read(bench.path("small.png")).unwrap();
    assert!(
        said(&output).starts_with(&format!("image/png, 100x75, {} bytes, ", thumbnail.len())),
        "{}",
        said(&output)
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_thumbnail_goes_to_the_standard_output_where_that_leads_elsewhere() {
    let bench = Bench::with(images::jpeg(400, 300));
    let output = bench.run("source -w 50 -h 50 -m crop");
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout.starts_with(&[0xff, 0xd8]));
    assert!(said(&output).starts_with("image/jpeg, 50x50, "), "{}", said(&output));
}

#[test]
fn a_file_that_is_small_enough_comes_out_as_it_is() {
    let picture = images::png(40, 30);
    let bench = Bench::with(picture.clone());
    let output = bench.run("source");
    assert_eq!(output.stdout, picture);
    assert!(said(&output).trim_end().ends_with("the file itself"), "{}", said(&output));
}

#[test]
fn the_status_tells_what_went_wrong() {
    let bench = Bench::with(images::png(400, 300));
    fs::write(bench.path("text"), "no picture").unwrap();
    for (args, status) in [
        ("missing -o out", 1),
        ("source -o no/such/directory", 1),
        ("-o out", 2),
        ("source -i source -o out", 2),
        ("source -o out -w 0", 2),
        ("source -o out -f image/nonsense", 2),
        ("text -o out", 3),
        ("source -o out -f image/jpg", 3),
        ("source -o out --max-pixels 120000", 4),
        ("source -o out --max-bytes 100", 4),
        ("source -o out -w 50 -h 50 --memory 1000", 4),
    ] {
        let output = bench.run(args);
        assert_eq!(output.status.code(), Some(status), "{args}: {}", said(&output));
        assert!(!bench.path("out").exists() && !said(&output).is_empty(), "{args}");
    }
}

#[test]
fn the_height_does_not_hide_the_help() {
    let output = Bench::with(Bytes::new()).run("--help");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    for text in ["-h, --height", "--help", "Exit status", "[default: 512]"] {
        assert!(help.contains(text), "{text}: {help}");
    }
}

#[test]
fn the_doctor_tries_a_render_worker() {
    let bench = Bench::with(Bytes::new());
    // Nobody answers at port 1, which is another matter.
    let config = "
database: {sqlite: mmr.db}
homeservers: [{name: example.org, csApi: 'http://127.0.0.1:1'}]
datastores: [{id: main, type: file, forKinds: [all], opts: {path: .}}]
";
    fs::write(bench.path("config.yaml"), config).unwrap();
    let output = bench.command("--config config.yaml doctor");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.lines().any(|line| line == "ok    thumbnails: a render worker starts"),
        "{told}{}",
        said(&output)
    );
}
