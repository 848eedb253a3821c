//! A bulletin board inside one process, for backends that have no notifications of their own.

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::store::Signal;

/// How many signals a subscriber may be behind before it gets [`Signal::Lost`].
const CAPACITY: usize = 1024;

/// Tells signals to every subscriber in this process. Clones share the subscribers.
#[derive(Clone, Debug)]
pub(super) struct Board(broadcast::Sender<Signal>);

impl Default for Board {
    fn default() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }
}

impl Board {
    /// Tells everybody who is subscribed. Nobody need be.
    pub(super) fn publish(&self, signal: &Signal) {
        // An error means that nobody listens.
        let _ = self.0.send(signal.clone());
    }

    /// What is published from this call on. Ends when the last clone of the board is gone.
    pub(super) fn subscribe(&self) -> BoxStream<'static, Signal> {
        stream::unfold(self.0.subscribe(), |mut receiver| async {
            match receiver.recv().await {
                Ok(signal) => Some((signal, receiver)),
                Err(RecvError::Lagged(_)) => Some((Signal::Lost, receiver)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}
