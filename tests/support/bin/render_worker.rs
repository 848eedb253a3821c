//! A render worker for tests: `test-render-worker TAG [LIE]`.
//!
//! Renders pictures as every worker does, and does mischief when a source asks for it. With a LIE it talks to its parent
//! like a worker that a source has taken over.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    process::{Command, abort},
    sync::Arc,
    thread,
    time::Duration,
};

use mmr_core::thumbnail::{
    RenderError, RenderTask, Renderer, formats,
    render::{Prepared, Work},
    worker,
};

fn main() -> io::Result<()> {
    if let Some(lie) = std::env::args().nth(2) {
        return tell(&lie);
    }
    let mut renderers: Vec<Arc<dyn Renderer>> = vec![Arc::new(Mischief)];
    renderers.extend(formats::native_renderers());
    worker::run(&renderers)
}

/// Does what a source of the form `mischief: WORD` says.
#[derive(Debug)]
struct Mischief;

impl Renderer for Mischief {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let word = std::str::from_utf8(task.source.strip_prefix(b"mischief: ")?).ok()?.to_owned();
        if word == "hang at once" {
            hang();
        }
        Some(Ok(Prepared::Work(Work {
            pixels: 1,
            required_bytes: 1024 * 1024,
            at_worst_bytes: 0,
            run: Box::new(move || Err(RenderError::Unsupported(act(&word)))),
        })))
    }
}

/// Says how it went.
fn act(word: &str) -> String {
    let outcome = match word {
        "panic" => panic!("a panic that the test asked for"),
        "abort" => abort(),
        "hang" => hang(),
        "sleep" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        "overflow the stack" => Ok(deeper(1).to_string()),
        "allocate" => Ok(vec![1_u8; 400 * 1024 * 1024].len().to_string()),
        "read a file" => fs::read_to_string("/proc/self/status"),
        "list a directory" => fs::read_dir("/").map(|entries| entries.count().to_string()),
        "write a file" => fs::write("/tmp/mischief", word).map(|()| word.to_owned()),
        "connect" => TcpStream::connect(("127.0.0.1", 9)).map(|_| word.to_owned()),
        "send" => UdpSocket::bind(("127.0.0.1", 0)).map(|_| word.to_owned()),
        "start a program" => Command::new("/bin/true").status().map(|status| status.to_string()),
        "start a thread" => thread::Builder::new().spawn(|| ()).map(|thread| format!("{:?}", thread.join())),
        "environment" => Ok(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(" ")),
        _ => Err(io::Error::other("there is no such mischief")),
    };
    outcome.unwrap_or_else(|error| format!("error: {:?}", error.kind()))
}

fn hang() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

#[expect(unconditional_recursion, reason = "that is the mischief")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box([depth; 1024]);
    deeper(depth + 1) + 1
}

/// Answers every source with a lie.
fn tell(lie: &str) -> io::Result<()> {
    if lie == "end at once" {
        return Ok(());
    }
    hear()?;
    say(br#"{"missing":[]}"#)?;
    loop {
        hear()?;
        say(b"null")?;
        while !hear()?.is_empty() {}
        match lie {
            "a sight" => {
                say(br#"{"Seen":{"content_type":"image/png","width":1,"height":1,"duration":null}}"#)?;
            }
            "no pictures" => say(br#"{"Done":[]}"#)?,
            "a page" => {
                say(br#"{"Done":[{"original":false,"content_type":"text/html","width":1,"height":1}]}"#)?;
                say(b"<script>")?;
            }
            "a picture without end" => {
                say(br#"{"Done":[{"original":false,"content_type":"image/png","width":1,"height":1}]}"#)?;
                io::stdout().write_all(&u32::MAX.to_le_bytes())?;
            }
            "a word without end" => io::stdout().write_all(&u32::MAX.to_le_bytes())?,
            "nonsense" => say(b"nonsense")?,
            _ => return Err(io::Error::other("there is no such lie")),
        }
        io::stdout().flush()?;
    }
}

fn hear() -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    io::stdin().read_exact(&mut len)?;
    let mut frame = vec![0; u32::from_le_bytes(len) as usize];
    io::stdin().read_exact(&mut frame)?;
    Ok(frame)
}

fn say(frame: &[u8]) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all(&u32::try_from(frame.len()).map_err(io::Error::other)?.to_le_bytes())?;
    output.write_all(frame)?;
    output.flush()
}
