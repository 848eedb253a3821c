//! The worker's side.

use std::{
    io::{self, Read, StdinLock, StdoutLock, Write},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    protocol::{Answer, BROKEN_OFF, Listening, MAX_ORDER_BYTES, Order, Picture, Ready, Seen, Setup, Verdict},
    sandbox::{self, Sandbox},
};
use crate::thumbnail::{
    render::{Cancelled, Prepared, RenderTask, Rendered, Renderer, Work},
    threads::prepare,
};

/// Serves as a worker on standard input and output, until the input ends. Locks this process in for good.
///
/// # Errors
/// When the parent is gone or talks nonsense.
pub fn run(renderers: &[Arc<dyn Renderer>]) -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut parent = Parent { input: stdin.lock(), output: stdout.lock() };
    let Some(setup) = parent.hear::<Setup>()? else { return Ok(()) };
    let sandbox = sandbox::enter(setup);
    parent.say(&Ready { missing: sandbox.missing().to_vec() })?;
    while let Some(order) = parent.hear::<Order>()? {
        sandbox.begin()?;
        parent.say(&Listening)?;
        let source = parent.source(&order)?;
        if let Some(source) = source {
            serve(&mut parent, &sandbox, renderers, order, source)?;
        }
    }
    Ok(())
}

fn serve(
    parent: &mut Parent<'_>,
    sandbox: &Sandbox,
    renderers: &[Arc<dyn Renderer>],
    order: Order,
    source: Bytes,
) -> io::Result<()> {
    let (specs, policy) = order.into_parts();
    let task = RenderTask { source, specs, policy, cancelled: Cancelled::default() };
    let prepared = prepare(renderers, &task);
    drop(task);
    let rendered = match prepared {
        Ok(Prepared::Seen(probed)) => return parent.say(&Answer::Seen(Seen::of(probed))),
        Ok(Prepared::Done(rendered)) => Ok(rendered),
        Ok(Prepared::Work(Work { pixels, required_bytes, at_worst_bytes, run })) => {
            parent.say(&Answer::Planned { pixels, required_bytes, at_worst_bytes })?;
            let Some(Verdict::Go { memory_bytes }) = parent.hear()? else { return Ok(()) };
            sandbox.allow_memory(memory_bytes)?;
            run()
        }
        Err(error) => Err(error),
    };
    match rendered {
        Ok(rendered) => parent.hand_over(&rendered),
        Err(error) => parent.say(&Answer::Failed(error.into())),
    }
}

struct Parent<'a> {
    input: StdinLock<'a>,
    output: StdoutLock<'a>,
}

impl Parent<'_> {
    /// The next word; `None` when there are no more.
    fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut len = [0; 4];
        match self.input.read_exact(&mut len) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            outcome => outcome?,
        }
        let len = u32::from_le_bytes(len);
        if len > MAX_ORDER_BYTES {
            return Err(io::Error::other("a word of the parent is too long"));
        }
        let mut word = vec![0; len as usize];
        self.input.read_exact(&mut word)?;
        Ok(Some(serde_json::from_slice(&word)?))
    }

    fn say(&mut self, word: &impl Serialize) -> io::Result<()> {
        let word = serde_json::to_vec(word)?;
        self.frame(&word)?;
        self.output.flush()
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.output.write_all(&len.to_le_bytes())?;
        self.output.write_all(bytes)
    }

    fn hand_over(&mut self, rendered: &[Rendered]) -> io::Result<()> {
        self.say(&Answer::Done(rendered.iter().map(Picture::of).collect()))?;
        for picture in rendered {
            if let Rendered::Image { bytes, .. } = picture {
                self.frame(bytes)?;
            }
        }
        self.output.flush()
    }

    /// The source; `None` when it broke off.
    fn source(&mut self, order: &Order) -> io::Result<Option<Bytes>> {
        let limit = order.max_source_bytes();
        // Not grown step by step: half of the memory would be of earlier steps.
        let mut source = Vec::with_capacity(order.expected_bytes());
        loop {
            let mut len = [0; 4];
            self.input.read_exact(&mut len)?;
            match u32::from_le_bytes(len) {
                0 => return Ok(Some(source.into())),
                BROKEN_OFF => return Ok(None),
                len if source.len() as u64 + u64::from(len) > limit => {
                    return Err(io::Error::other("the source is longer than its limit"));
                }
                len => {
                    let read = (&mut self.input).take(len.into()).read_to_end(&mut source)?;
                    if read < len as usize {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}
