//! Thumbnails of videos, Opus and HEIC: made by ffmpeg and libheif, which reach nothing but their source.
//!
//! `ffmpeg` and libheif's examples must be installed; `tests/run prepare` does that.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::stream;
use mmr_core::{
    stream::{ByteStream, StreamError},
    testing::images,
    thumbnail::{
        RenderEngine, RenderError, RenderLimits, RenderPool, Rendered, Threads, ThumbnailPolicy, formats,
        programs::{Programs, Tools},
        worker::{WorkerCommand, Workers},
    },
    types::{Method, ThumbnailSpec, Variant},
};
use tempfile::TempDir;

/// A pool whose programs have a directory that nobody else has.
struct Bench {
    home: TempDir,
    pool: RenderPool,
}

impl Bench {
    /// With the programs of this system.
    fn new() -> Self {
        Self::with(RenderLimits::default(), |_| installed())
    }

    /// With a script of bash in the place of every program.
    fn scripted(limits: RenderLimits, script: &str) -> Self {
        Self::with(limits, |home| {
            let program = home.join("script");
            fs::write(&program, format!("#!/bin/bash\n{script}\n")).expect("a file in a temporary directory");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
                .expect("a file in a temporary directory");
            Tools { ffmpeg: Some(program.clone()), heif: Some(program) }
        })
    }

    fn with(limits: RenderLimits, tools: impl FnOnce(&Path) -> Tools) -> Self {
        Self::around(Arc::new(Threads::new(formats::renderers())), limits, tools)
    }

    /// With the programs of this system, around workers.
    fn with_workers() -> Self {
        let limits = RenderLimits::default();
        let worker = WorkerCommand::program(env!("CARGO_BIN_EXE_test-render-worker"), ["programs"]);
        Self::around(Arc::new(Workers::new(worker, limits)), limits, |_| installed())
    }

    fn around(
        inner: Arc<dyn RenderEngine>,
        limits: RenderLimits,
        tools: impl FnOnce(&Path) -> Tools,
    ) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("spool")).expect("a file in a temporary directory");
        let command = WorkerCommand::program(env!("CARGO_BIN_EXE_test-render-program"), ["test"]);
        let programs = Programs::new(inner, tools(home.path()), command, limits);
        let programs = programs.directory(home.path().join("spool"));
        Self { pool: RenderPool::with_engine(limits, Arc::new(programs)), home }
    }

    async fn render(&self, source: Bytes) -> Result<Rendered, RenderError> {
        self.pool.render(source, spec(160, 160), policy()).await
    }

    async fn picture(&self, source: Bytes) -> Picture {
        Picture::of(self.render(source).await.expect("a thumbnail"))
    }

    /// The last line that a script wrote to standard error.
    async fn report(&self) -> String {
        match self.render(Bytes::from_static(NO_VIDEO)).await {
            Err(RenderError::Decode(error)) => error.to_string().trim_start_matches("ffmpeg: ").to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn spooled(&self) -> usize {
        fs::read_dir(self.home.path().join("spool")).expect("a file in a temporary directory").count()
    }

    /// Processes that have to do with this bench.
    fn processes(&self) -> usize {
        let tag = self.home.path().to_str().expect("a path of text");
        let commands = fs::read_dir("/proc")
            .expect("a file in a temporary directory")
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
        commands.filter(|command| command.contains(tag)).count()
    }

    async fn until_nothing_is_left(&self) {
        assert_eq!(self.spooled(), 0);
        let patience = Instant::now() + Duration::from_secs(20);
        while self.processes() > 0 {
            assert!(Instant::now() < patience, "a program still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Looks like a video from outside.
const NO_VIDEO: &[u8] = b"\0\0\0\x14ftypisom\0\0\0\0isom and nothing more";

fn installed() -> Tools {
    let tools = Tools::find(&std::env::var_os("PATH").expect("a PATH"));
    assert!(
        tools.ffmpeg.is_some() && tools.heif.is_some(),
        "{:#?}: run `tests/run prepare`",
        tools.summary()
    );
    tools
}

fn spec(width: u32, height: u32) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method: Method::Scale, variant: Variant::Still }
}

fn policy() -> Arc<ThumbnailPolicy> {
    let types = ThumbnailPolicy::known_types();
    Arc::new(ThumbnailPolicy { types: types.map(str::to_owned).collect(), ..ThumbnailPolicy::default() })
}

/// Runs a program of the tests' own, outside of any sandbox.
fn tool(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run `tests/run prepare`"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes a file of these arguments to ffmpeg.
fn made(name: &str, arguments: &[&str]) -> Bytes {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [&["-v", "error", "-nostdin"], arguments, &[name]].concat();
    tool("ffmpeg", &arguments, directory.path());
    fs::read(directory.path().join(name)).expect("a file in a temporary directory").into()
}

/// Red on the left and blue on the right, for two seconds.
const HALVES: &str = "color=red:s=160x240:r=10:d=2[l];color=blue:s=160x240:r=10:d=2[r];\
    [l][r]hstack,format=yuv420p[out0]";
/// Black for three seconds, then that.
const LATE: &str = "color=black:s=320x240:r=10:d=3[b];color=red:s=160x240:r=10:d=2[l];\
    color=blue:s=160x240:r=10:d=2[r];[l][r]hstack[h];[b][h]concat,format=yuv420p[out0]";

fn mp4(picture: &str) -> Bytes {
    made("x.mp4", &["-f", "lavfi", "-i", picture, "-c:v", "libx264"])
}

/// A HEIC file of a picture.
fn heic(picture: &[u8], name: &str) -> Bytes {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join(name), picture).expect("a file in a temporary directory");
    tool("heif-enc", &["-q", "90", name, "-o", "x.heic"], directory.path());
    fs::read(directory.path().join("x.heic")).expect("a file in a temporary directory").into()
}

/// A thumbnail and its pixels.
struct Picture {
    bytes: Bytes,
    content_type: &'static str,
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Picture {
    fn of(rendered: Rendered) -> Self {
        let Rendered::Image { bytes, content_type, width, height } = rendered else {
            panic!("{rendered:?} is not in the source")
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("x"), &bytes).expect("a file in a temporary directory");
        let arguments = ["-v", "error", "-i", "x", "-f", "rawvideo", "-pix_fmt", "rgba", "-"];
        let rgba = tool("ffmpeg", &arguments, directory.path());
        assert_eq!(rgba.len(), (width * height * 4) as usize, "{width}x{height} is not its size");
        Self { bytes, content_type, width, height, rgba }
    }

    /// The pixel at these hundredths of width and height.
    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let index = (y * self.height / 100 * self.width + x * self.width / 100) as usize * 4;
        self.rgba[index..index + 4].try_into().expect("four channels")
    }

    fn is_red(&self, x: u32, y: u32) -> bool {
        {
            let [red, green, blue, alpha] = self.at(x, y);
            red > 200 && green < 60 && blue < 60 && alpha == 255
        }
    }

    fn is_blue(&self, x: u32, y: u32) -> bool {
        {
            let [red, green, blue, alpha] = self.at(x, y);
            red < 60 && green < 60 && blue > 200 && alpha == 255
        }
    }

    fn is_background(&self, x: u32, y: u32) -> bool {
        let there = self.at(x, y);
        [0x29, 0x39, 0x5c, 255].iter().zip(there).all(|(wanted, there): (&u8, _)| wanted.abs_diff(there) < 12)
    }

    /// Whether bars around this height are low on the left and high on the right.
    fn is_quiet_then_loud(&self, middle: u32) -> bool {
        let (near, far) = ((100 - middle) / 5, (100 - middle) * 3 / 5);
        let quiet = (5..45)
            .step_by(10)
            .all(|x| self.is_background(x, middle - near) && self.is_background(x, middle + near));
        let loud = (60..100)
            .step_by(10)
            .all(|x| !self.is_background(x, middle - far) && !self.is_background(x, middle + far));
        quiet && loud
    }

    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

#[tokio::test]
async fn a_video_says_how_long_it_plays_without_a_program() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    for (name, options) in [
        ("x.mp4", ["-c:v", "libx264"]),
        ("x.mp4", ["-movflags", "+faststart"]),
        ("x.mov", ["-c:v", "libx264"]),
        ("x.webm", ["-c:v", "libvpx"]),
        ("x.mkv", ["-c:v", "libx264"]),
    ] {
        let video = made(name, &[["-f", "lavfi", "-i", HALVES].as_slice(), &options].concat());
        let bytes = video.len() as u64;
        let probed = bench.pool.probe(video.into(), bytes).await.unwrap();
        assert_eq!(probed.duration.map(|duration| duration.as_millis()), Some(2000), "{name} {options:?}");
        assert_eq!((probed.width, probed.height), (0, 0));
    }
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn a_video_of_any_common_kind_shows_its_frame() {
    let bench = Bench::new();
    let sound = ["-f", "lavfi", "-i", "sine=d=2", "-shortest"];
    for (name, codecs) in [
        ("x.mp4", ["-c:v", "libx264", "-c:a", "aac"]),
        ("x.mov", ["-c:v", "libx265", "-c:a", "aac"]),
        ("x.m4v", ["-c:v", "libx264", "-c:a", "aac"]),
        ("x.webm", ["-c:v", "libvpx-vp9", "-c:a", "libopus"]),
        ("x.mkv", ["-c:v", "libvpx", "-c:a", "libvorbis"]),
    ] {
        let video = made(name, &[["-f", "lavfi", "-i", HALVES].as_slice(), &sound, &codecs].concat());
        let picture = bench.picture(video).await;
        assert_eq!((picture.content_type, picture.size()), ("image/jpeg", (160, 120)), "{name}");
        assert!(picture.is_red(25, 50) && picture.is_blue(75, 50), "{name}");
    }
    bench.until_nothing_is_left().await;
}

/// Opus in Ogg with these bytes as a cover, of a second.
fn opus_with_cover(cover: &[u8]) -> Bytes {
    let number = |number: usize| u32::try_from(number).expect("a short text").to_be_bytes();
    // As in FLAC: a front cover, its type, no description, and a size that is not said.
    let kind = "image/jpeg";
    let block =
        [&number(3), &number(kind.len()), kind.as_bytes(), &[0; 20], &number(cover.len()), cover].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(block).replace('=', "\\=");
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, content) in [
        ("tags", format!(";FFMETADATA1\nMETADATA_BLOCK_PICTURE={text}\n").as_bytes()),
        ("plain.opus", &images::opus()),
    ] {
        fs::write(directory.path().join(name), content).expect("a file in a temporary directory");
    }
    let arguments =
        ["-v", "error", "-i", "plain.opus", "-i", "tags", "-map_metadata", "1", "-c", "copy", "x.opus"];
    tool("ffmpeg", &arguments, directory.path());
    fs::read(directory.path().join("x.opus")).expect("a file in a temporary directory").into()
}

#[tokio::test]
async fn a_voice_message_is_quiet_first_and_loud_later() {
    let bench = Bench::new();
    let picture = bench.picture(images::opus()).await;
    assert_eq!(picture.size(), (160, 50));
    assert!(picture.is_quiet_then_loud(50));
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_draws_the_sound_as_a_thread_does() {
    let picture = Bench::with_workers().picture(images::opus()).await;
    assert!(picture.is_quiet_then_loud(50));
}

#[tokio::test]
async fn a_long_voice_message_is_heard_to_its_end() {
    let sound = "aevalsrc='if(lt(t,200),0.02,0.2)*sin(2000*t)':s=48000:d=400";
    let long = made("x.opus", &["-f", "lavfi", "-i", sound, "-c:a", "libopus", "-b:a", "12k"]);
    assert!(Bench::new().picture(long).await.is_quiet_then_loud(50));
}

#[tokio::test]
async fn the_cover_of_opus_stands_above_its_sound() {
    for source in [opus_with_cover(&images::jpeg(64, 64)), opus_with_cover(&images::png(64, 64))] {
        let rendered = Bench::new().pool.render(source, spec(640, 640), policy()).await;
        let picture = Picture::of(rendered.expect("a thumbnail"));
        assert!(!picture.is_background(50, 30));
        assert!(picture.is_quiet_then_loud(83));
    }
}

#[tokio::test]
async fn a_cover_that_is_none_does_not_cost_the_sound() {
    let picture = Bench::new().picture(opus_with_cover(b"no picture")).await;
    assert!(picture.is_quiet_then_loud(50));
}

#[tokio::test]
async fn without_a_program_the_cover_of_opus_is_shown_alone() {
    let bench = Bench::with(RenderLimits::default(), |_| Tools::default());
    let picture = bench.picture(opus_with_cover(&images::jpeg(64, 64))).await;
    assert!(!picture.is_background(50, 30) && picture.is_background(75, 83));
}

#[tokio::test]
async fn opus_that_broke_off_is_shown_as_far_as_it_goes() {
    let sound = "aevalsrc='if(lt(t,10),0.02,0.2)*sin(2000*t)':s=48000:d=40";
    let whole = made("x.opus", &["-f", "lavfi", "-i", sound, "-c:a", "libopus", "-b:a", "12k"]);
    let picture = Bench::new().picture(whole.slice(..whole.len() / 2)).await;
    assert!(picture.is_quiet_then_loud(50));
}

#[tokio::test]
async fn opus_without_a_sound_in_it_cannot_be_decoded() {
    let headers = images::opus().slice(..100);
    let outcome = Bench::new().render(headers).await;
    assert!(matches!(outcome, Err(RenderError::Decode(_))), "{outcome:?}");
}

#[tokio::test]
async fn what_a_program_makes_of_sound_is_not_trusted() {
    let lie = "echo 'fLaC and nothing else' >sound.flac; exit 0";
    let outcome = Bench::scripted(RenderLimits::default(), lie).render(images::opus()).await;
    assert!(matches!(outcome, Err(RenderError::Decode(_) | RenderError::Unsupported(_))), "{outcome:?}");
}

#[tokio::test]
async fn opus_says_how_long_it_plays_without_a_program() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    let source = images::opus();
    let bytes = source.len() as u64;
    let probed = bench.pool.probe(source.into(), bytes).await.unwrap();
    assert_eq!(probed.content_type, "audio/ogg");
    assert_eq!(probed.duration.map(|duration| duration.as_secs()), Some(1));
}

/// Files in the containers of videos, with nothing in them but sound that is quiet first.
fn sounds_in_containers_of_videos() -> [(Bytes, &'static str); 6] {
    let sound = "aevalsrc='if(lt(t,1),0.02,0.2)*sin(2000*t)':s=48000:d=2";
    let made = |name, options: &[&str]| made(name, &[&["-f", "lavfi", "-i", sound], options].concat());
    [
        (made("x.mp4", &["-c:a", "aac"]), "audio/mp4"),
        (made("x.mp4", &["-c:a", "aac", "-movflags", "+faststart"]), "audio/mp4"),
        (made("x.mp4", &["-c:a", "aac", "-movflags", "+empty_moov+frag_keyframe"]), "audio/mp4"),
        (made("x.mov", &["-c:a", "aac"]), "audio/mp4"),
        (made("x.webm", &["-c:a", "libopus"]), "audio/webm"),
        (made("x.mka", &["-c:a", "libvorbis"]), "audio/webm"),
    ]
}

#[tokio::test]
async fn a_video_without_pictures_is_shown_as_sound() {
    let benches = [Bench::new(), Bench::with_workers()];
    for (number, (source, _)) in sounds_in_containers_of_videos().into_iter().enumerate() {
        for bench in &benches {
            let outcome = bench.render(source.clone()).await;
            let rendered = outcome.unwrap_or_else(|error| panic!("source {number}: {error:?}"));
            assert!(Picture::of(rendered).is_quiet_then_loud(50), "source {number}");
            bench.until_nothing_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_video_without_pictures_is_of_a_type_of_sound() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    for (number, (source, content_type)) in sounds_in_containers_of_videos().into_iter().enumerate() {
        let bytes = source.len() as u64;
        let probed = bench.pool.probe(source.into(), bytes).await.unwrap();
        assert_eq!((probed.content_type, probed.width), (content_type, 0), "source {number}");
        // A fragmented file says nothing at its beginning.
        let said = probed.duration.map_or(2000, |duration| duration.as_millis());
        assert!(said.abs_diff(2000) < 100, "source {number}: {said}");
    }
}

#[tokio::test]
async fn sound_in_mp4_needs_no_program_and_no_other_type() {
    let bench = Bench::with(RenderLimits::default(), |_| Tools::default());
    let policy = ThumbnailPolicy { types: vec!["audio/mp4".to_owned()], ..ThumbnailPolicy::default() };
    let rendered = bench.pool.render(images::aac_of_telephone(), spec(160, 160), Arc::new(policy)).await;
    assert!(Picture::of(rendered.unwrap()).is_quiet_then_loud(50));
}

#[tokio::test]
async fn sound_in_a_video_is_refused_where_only_videos_are_enabled() {
    assert_refused_by_type(&["video/mp4", "video/quicktime", "video/webm"], sounds_in_containers_of_videos())
        .await;
}

#[tokio::test]
async fn a_video_is_refused_where_only_sound_is_enabled() {
    let webm = made("x.webm", &["-f", "lavfi", "-i", HALVES, "-c:v", "libvpx"]);
    let videos = [(mp4(HALVES), "video/mp4"), (webm, "video/webm")];
    assert_refused_by_type(&["audio/mp4", "audio/webm"], videos).await;
}

/// Where only these types are enabled, the message names the type of the source, and nothing is left behind.
async fn assert_refused_by_type(enabled: &[&str], sources: impl IntoIterator<Item = (Bytes, &'static str)>) {
    let bench = Bench::new();
    let types = enabled.iter().map(|&name| name.to_owned()).collect();
    let policy = Arc::new(ThumbnailPolicy { types, ..ThumbnailPolicy::default() });
    for (source, content_type) in sources {
        let refusal = bench.pool.render(source, spec(96, 96), Arc::clone(&policy)).await;
        let Err(RenderError::Unsupported(message)) = refusal else { panic!("{refusal:?}") };
        assert!(message.contains(content_type), "{message}");
    }
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn a_worker_renders_the_frame_as_a_thread_does() {
    let bench = Bench::with_workers();
    let rendered = bench.pool.render(mp4(HALVES), spec(96, 96), policy()).await.unwrap();
    let picture = Picture::of(rendered);
    assert_eq!((picture.content_type, picture.size()), ("image/jpeg", (96, 72)));
    assert!(picture.is_red(25, 50) && picture.is_blue(75, 50));
}

#[tokio::test]
async fn a_frame_that_is_no_larger_than_asked_is_no_original() {
    let bench = Bench::new();
    let rendered = bench.pool.render(mp4(HALVES), spec(800, 600), policy()).await.unwrap();
    let picture = Picture::of(rendered);
    assert_eq!((picture.content_type, picture.size()), ("image/jpeg", (320, 240)));
    assert!(picture.is_red(25, 50) && picture.is_blue(75, 50));
}

#[tokio::test]
async fn a_video_that_was_turned_is_upright() {
    let mut video = mp4(HALVES).to_vec();
    // ISO 14496-12, 8.3.2: the matrix in the header of the track. A quarter to the right.
    let header = video.windows(4).position(|name| name == b"tkhd").unwrap() + 4;
    let matrix: [i32; 9] = [0, 0x1_0000, 0, -0x1_0000, 0, 0, 240 * 0x1_0000, 0, 0x4000_0000];
    video[header + 40..header + 76].copy_from_slice(&matrix.map(i32::to_be_bytes).concat());
    let picture = Bench::new().picture(video.into()).await;
    assert_eq!(picture.size(), (120, 160));
    assert!(picture.is_red(50, 25) && picture.is_blue(50, 75));
}

#[tokio::test]
async fn pixels_that_are_not_square_are_made_so() {
    let wide = made("x.mp4", &["-f", "lavfi", "-i", HALVES, "-vf", "setsar=2", "-c:v", "libx264"]);
    assert_eq!(Bench::new().picture(wide).await.size(), (160, 60));
}

#[tokio::test]
async fn a_black_beginning_is_skipped() {
    let picture = Bench::new().picture(mp4(LATE)).await;
    assert!(picture.is_red(25, 50) && picture.is_blue(75, 50));
}

#[tokio::test]
async fn a_video_that_is_black_throughout_is_black() {
    let black = mp4("color=black:s=320x240:r=10:d=2,format=yuv420p");
    let picture = Bench::new().picture(black).await;
    assert!(picture.at(50, 50)[..3].iter().all(|channel| *channel < 20));
}

#[tokio::test]
async fn a_heic_picture_is_rendered_as_a_photo() {
    let png = made("x.png", &["-f", "lavfi", "-i", HALVES, "-frames:v", "1"]);
    let bench = Bench::new();
    let picture = bench.picture(heic(&png, "x.png")).await;
    assert_eq!((picture.content_type, picture.size()), ("image/jpeg", (160, 120)));
    assert!(picture.is_red(25, 50) && picture.is_blue(75, 50));
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_heic_picture_keeps_its_transparency() {
    let png = made("x.png", &["-f", "lavfi", "-i", "color=red@0.0:s=64x64,format=rgba", "-frames:v", "1"]);
    let picture = Bench::new().picture(heic(&png, "x.png")).await;
    assert_eq!(picture.content_type, "image/png");
    assert!(picture.at(50, 50)[3] < 10, "{:?}", picture.at(50, 50));
}

#[tokio::test]
async fn a_heic_picture_is_upright_and_tells_nothing_of_its_camera() {
    let bench = Bench::new();
    let sideways = images::jpeg_with_orientation(320, 240, 6);
    let upright = RenderPool::new(RenderLimits::default());
    let upright = upright.render(sideways.clone(), spec(160, 160), Arc::default()).await.unwrap();
    // The encoder takes over what Exif says and does not turn anything itself; phones write both. What turns a picture, and
    // it alone, is this box (ISO 23008-12, 6.5.10), here in the place of one that can be done without.
    let (upright, mut source) = (Picture::of(upright), heic(&sideways, "x.jpg").to_vec());
    let dispensable = source.windows(8).position(|bytes| bytes == b"\0\0\0\x10pixi").unwrap() + 4;
    source[dispensable..dispensable + 5].copy_from_slice(b"irot\x03");
    let source = Bytes::from(source);
    for asked in [spec(160, 160), spec(800, 800)] {
        let picture = Picture::of(bench.pool.render(source.clone(), asked, policy()).await.unwrap());
        assert_eq!(picture.width > picture.height, upright.width > upright.height);
        for (x, y) in [(10, 10), (90, 10), (10, 90), (90, 90), (50, 50)] {
            let (here, there) = (picture.at(x, y), upright.at(x, y));
            assert!((0..3).all(|i| here[i].abs_diff(there[i]) < 40), "{here:?} {there:?} at {x}, {y}");
        }
        assert!(!picture.bytes.windows(4).any(|bytes| bytes == b"Exif"));
    }
}

#[tokio::test]
async fn of_several_pictures_in_a_file_the_first_is_rendered() {
    let directory = tempfile::tempdir().unwrap();
    for (name, colour) in [("1.png", "red"), ("2.png", "blue"), ("3.png", "blue")] {
        let picture = format!("color={colour}:s=64x64");
        let arguments = ["-v", "error", "-f", "lavfi", "-i", &picture, "-frames:v", "1", name];
        tool("ffmpeg", &arguments, directory.path());
    }
    tool("heif-enc", &["1.png", "2.png", "3.png", "-o", "x.heic"], directory.path());
    let album = fs::read(directory.path().join("x.heic")).unwrap();
    let picture = Bench::new().picture(album.into()).await;
    assert!(picture.is_red(50, 50));
}

#[tokio::test]
async fn a_picture_larger_than_allowed_is_refused_before_a_program_starts() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    let bomb =
        [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), b"\0\0\0\x14ispe\0\0\0\0\0\0\xff\xff\0\0\xff\xff"];
    let outcome = bench.render(bomb.concat().into()).await;
    assert!(matches!(outcome, Err(RenderError::TooManyPixels { pixels: 4_294_836_225, .. })), "{outcome:?}");
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn everything_else_is_for_the_engine_inside() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    let rendered = bench.render(images::png(320, 240)).await;
    assert!(matches!(rendered, Ok(Rendered::Image { width: 160, height: 120, .. })), "{rendered:?}");
    let original = bench.render(images::png(32, 24)).await;
    assert!(matches!(original, Ok(Rendered::Original { .. })), "{original:?}");
    for list in ["ffconcat version 1.0\nfile /etc/passwd\n", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"] {
        let refusal = bench.render(list.into()).await;
        assert!(matches!(refusal, Err(RenderError::Unsupported(_))), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_type_that_is_not_enabled_is_refused() {
    let bench = Bench::scripted(RenderLimits::default(), "exit 1");
    for (source, name) in [
        (NO_VIDEO.into(), "video/mp4"),
        (b"\0\0\0\x10ftypheic\0\0\0\0".as_slice().into(), "image/heic"),
        (images::opus(), "audio/ogg"),
    ] {
        let refusal = bench.pool.render(source, spec(96, 96), Arc::default()).await;
        let Err(RenderError::Unsupported(message)) = refusal else { panic!("{refusal:?}") };
        assert!(message.contains(name), "{message}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let bench = Bench::with(RenderLimits::default(), |_| Tools::default());
    for (source, names) in [
        (NO_VIDEO.into(), ["ffmpeg", "Debian package ffmpeg"]),
        (images::opus(), ["Opus", "Debian package ffmpeg"]),
        (b"\0\0\0\x10ftypheic\0\0\0\0".as_slice().into(), ["heif-convert", "libheif-examples"]),
    ] {
        let refusal = bench.render(source).await;
        let Err(RenderError::Unsupported(message)) = refusal else { panic!("{refusal:?}") };
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error_that_says_so() {
    let bench = Bench::with(RenderLimits::default(), |home| Tools {
        ffmpeg: Some(home.join("nothing")),
        ..Tools::default()
    });
    let outcome = bench.render(Bytes::from_static(NO_VIDEO)).await;
    assert!(matches!(outcome, Err(RenderError::Worker(_))), "{outcome:?}");
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn a_source_of_too_many_bytes_is_cut_off() {
    let bench = Bench::new();
    let strict = ThumbnailPolicy { max_source_bytes: 1000, ..ThumbnailPolicy::clone(&policy()) };
    let refusal = bench.pool.render(mp4(HALVES), spec(96, 96), Arc::new(strict)).await;
    assert!(matches!(refusal, Err(RenderError::TooManyBytes { limit: 1000 })), "{refusal:?}");
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn a_source_that_breaks_off_leaves_nothing() {
    let bench = Bench::new();
    let broken = [Ok(mp4(HALVES).slice(..1500)), Err(StreamError::Storage("gone".into()))];
    let source = ByteStream::new(stream::iter(broken));
    let turn = bench.pool.admit(100).unwrap().turn().await.unwrap();
    let outcome = turn.render(source, vec![spec(4, 4)], policy()).await;
    assert!(matches!(outcome, Err(RenderError::Source(StreamError::Storage(_)))), "{outcome:?}");
    assert_eq!(bench.spooled(), 0);
}

#[tokio::test]
async fn what_is_cut_short_cannot_be_decoded() {
    let bench = Bench::new();
    let png = made("x.png", &["-f", "lavfi", "-i", HALVES, "-frames:v", "1"]);
    for whole in [mp4(HALVES), heic(&png, "x.png")] {
        for quarters in 1..4 {
            let outcome = bench.render(whole.slice(..whole.len() * quarters / 4)).await;
            assert!(matches!(outcome, Err(RenderError::Decode(_))), "{quarters}/4: {outcome:?}");
        }
    }
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_list_of_files_is_not_opened_whatever_it_calls_itself() {
    let bench = Bench::new();
    for list in ["#EXTM3U\n#EXTINF:1,\nfile:source\n", "ffconcat version 1.0\nfile source\n"] {
        let outcome = bench.render([NO_VIDEO, b"\n", list.as_bytes()].concat().into()).await;
        assert!(matches!(outcome, Err(RenderError::Decode(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_at_the_deadline_and_all_it_held_is_free() {
    // Enough for one.
    let limits = RenderLimits {
        workers: 1,
        memory_budget_bytes: 256 * 1024 * 1024,
        deadline: Duration::from_secs(1),
        ..RenderLimits::default()
    };
    for script in
        ["while :; do :; done", "exec tail -f source \"$0\" >&2", "trap '' TERM; while :; do :; done"]
    {
        let bench = Bench::scripted(limits, script);
        for _ in 0..2 {
            let outcome = bench.render(Bytes::from_static(NO_VIDEO)).await;
            assert!(matches!(outcome, Err(RenderError::Deadline)), "{script}: {outcome:?}");
            bench.until_nothing_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_program_ends_when_nobody_waits_for_it() {
    let bench = Bench::scripted(RenderLimits::default(), "while :; do :; done");
    {
        let mut hanging = Box::pin(bench.render(Bytes::from_static(NO_VIDEO)));
        while bench.processes() == 0 {
            let step = tokio::time::timeout(Duration::from_millis(5), &mut hanging).await;
            assert!(step.is_err(), "{step:?}");
        }
    }
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_program_gets_no_more_memory_than_was_booked_for_it() {
    let hungry =
        "x=aaaaaaaaaaaaaaaa; while [ ${#x} -lt 1000000000 ]; do x=$x$x; done; echo sated >&2; exit 1";
    let report = Bench::scripted(RenderLimits::default(), hungry).report().await;
    assert!(report.contains("cannot allocate"), "{report}");
}

#[tokio::test]
async fn a_program_reads_its_source_and_nothing_else() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let open = |path: &Path| {
        format!("read -r x <'{}' && echo it can >&2 || echo it cannot >&2; exit 1", path.display())
    };
    let outcome = |path: &Path| {
        let bench = Bench::scripted(RenderLimits::default(), &open(path));
        async move { bench.report().await }
    };
    for path in [Path::new("/etc/passwd"), Path::new("/proc/self/environ"), secret.path()] {
        assert_eq!(outcome(path).await, "it cannot", "{}", path.display());
    }
    let own = "read -r -d d x <source; echo \"${#x}\" >&2; exit 1";
    assert_eq!(Bench::scripted(RenderLimits::default(), own).report().await, "16");
    let list = "echo /etc/* /root/* /home/* /proc/* >&2; exit 1";
    assert_eq!(
        Bench::scripted(RenderLimits::default(), list).report().await,
        "/etc/* /root/* /home/* /proc/*"
    );
}

#[tokio::test]
async fn a_program_writes_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    for path in [outside.path().join("x"), PathBuf::from("x"), PathBuf::from("source")] {
        let write = format!("echo x >'{}' && echo it can >&2 || echo it cannot >&2; exit 1", path.display());
        let report = Bench::scripted(RenderLimits::default(), &write).report().await;
        assert_eq!(report, "it cannot", "{}", path.display());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_reaches_nobody() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo it can >&2 || echo it cannot >&2; exit 1");
    assert_eq!(Bench::scripted(RenderLimits::default(), &connect).report().await, "it cannot");
}

#[tokio::test]
async fn a_program_starts_no_other() {
    // A shell that cannot fork tries for some time and gives up.
    let outcome =
        Bench::scripted(RenderLimits::default(), "/bin/true; echo it can >&2; exit 1").report().await;
    assert!(outcome.contains("fork"), "{outcome}");
}

#[tokio::test]
async fn a_program_does_not_inherit_the_environment() {
    // Cargo sets variables of all these.
    let script = "echo found: ${!CARGO@} ${!RUST@} ${!LD@} >&2; exit 1";
    assert_eq!(Bench::scripted(RenderLimits::default(), script).report().await, "found:");
}
