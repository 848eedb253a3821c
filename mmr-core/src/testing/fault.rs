//! Failing, losing, delaying and truncating the k-th call through the seams.
//!
//! A journey that runs over [`FaultyDatastore`], [`FaultyStore`] and [`FaultyFederation`] with one [`FaultPlan`] is first
//! counted, then repeated once per call and [`Fault`], with the invariants checked after each:
//!
//! ```
//! # use mmr_core::testing::fault::{Fault, FaultPlan};
//! # fn journey(plan: &FaultPlan) {}
//! let plan = FaultPlan::counting();
//! journey(&plan);
//! for k in 1..=plan.calls() {
//!     for fault in [Fault::Before, Fault::After] {
//!         journey(&FaultPlan::fail(k, fault));
//!     }
//! }
//! ```

use std::{
    future::Future,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::fixtures::Gate;
use crate::{
    datastore::DatastoreError,
    federation::FederationError,
    store::StoreError,
    stream::{ByteStream, StreamError},
};

mod datastore;
mod federation;
mod store;

pub use self::{datastore::FaultyDatastore, federation::FaultyFederation, store::FaultyStore};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and had no effect.
    Before,
    /// It takes effect, but the answer is lost: the caller gets an error. A call that fails by itself fails as it
    /// would have. For a chunk of a body, the chunk is lost with the body behind it.
    After,
    /// It waits until [`FaultPlan::release`], then goes its way.
    Delay,
    /// A body ends here without an error, as no backend should do it. Other calls are left alone.
    Truncate,
}

/// Which call suffers what. Clones count together.
///
/// A call is each method of a [`Datastore`](crate::datastore::Datastore), of a
/// [`BlobWriter`](crate::datastore::BlobWriter), of a facet of [`MediaStore`](crate::store::MediaStore) and of
/// [`Federation`](crate::federation::Federation), each chunk of a body, and each entry of a listing.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    inner: Arc<Inner>,
    permanent: bool,
}

#[derive(Debug)]
struct Inner {
    struck: RangeInclusive<u64>,
    fault: Fault,
    calls: Mutex<Vec<&'static str>>,
    gate: Gate,
}

/// The cause of every injected error.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this call was made to fail by a test")]
pub struct Injected;

impl FaultPlan {
    /// Lets every call through and counts.
    #[must_use]
    pub fn counting() -> Self {
        Self::between(0, 0, Fault::Before)
    }

    /// The `k`-th call, counted from 1, suffers `fault`; those before and behind it do not.
    #[must_use]
    pub fn fail(k: u64, fault: Fault) -> Self {
        Self::between(k, k, fault)
    }

    /// The `k`-th call, counted from 1, and all behind it suffer `fault`: an outage that lasts.
    #[must_use]
    pub fn fail_from(k: u64, fault: Fault) -> Self {
        Self::between(k, u64::MAX, fault)
    }

    fn between(first: u64, last: u64, fault: Fault) -> Self {
        let inner = Inner { struck: first..=last, fault, calls: Mutex::default(), gate: Gate::new() };
        Self { inner: Arc::new(inner), permanent: false }
    }

    /// Makes the errors say that another try is useless, where by default they say that one may help.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Number of calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.log().len() as u64
    }

    /// The calls so far, in order, such as `BlobWriter::commit`.
    #[must_use]
    pub fn log(&self) -> Vec<&'static str> {
        self.inner.calls.lock().expect("no panics while it is locked").clone()
    }

    /// The call that suffered the fault, the first of them if there are several, once there is one.
    #[must_use]
    pub fn struck(&self) -> Option<&'static str> {
        let first = usize::try_from(*self.inner.struck.start()).ok()?.checked_sub(1)?;
        self.log().get(first).copied()
    }

    /// Waits until a call is being delayed.
    pub async fn delayed(&self) {
        self.inner.gate.reached().await;
    }

    /// Lets delayed calls go their way, and those that would be delayed later.
    pub fn release(&self) {
        self.inner.gate.open();
    }

    /// Counts a call and tells what it suffers.
    fn next(&self, name: &'static str) -> Option<Fault> {
        let mut calls = self.inner.calls.lock().expect("no panics while it is locked");
        calls.push(name);
        self.inner.struck.contains(&(calls.len() as u64)).then_some(self.inner.fault)
    }

    async fn call<T: Send, E: Failure>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        match self.next(name) {
            None | Some(Fault::Truncate) => call.await,
            Some(Fault::Before) => Err(E::failure(self.permanent)),
            Some(Fault::After) => {
                call.await?;
                Err(E::failure(self.permanent))
            }
            Some(Fault::Delay) => {
                self.inner.gate.pass().await;
                call.await
            }
        }
    }

    /// Makes a call of each item, and of the end.
    fn items<T: Send + 'static, E: Send + 'static>(
        &self,
        name: &'static str,
        items: BoxStream<'static, Result<T, E>>,
        failure: fn(bool) -> E,
    ) -> BoxStream<'static, Result<T, E>> {
        stream::unfold(Some((self.clone(), items)), move |state| async move {
            let (plan, mut items) = state?;
            match plan.next(name) {
                None => {}
                Some(Fault::Before | Fault::After) => return Some((Err(failure(plan.permanent)), None)),
                Some(Fault::Delay) => plan.inner.gate.pass().await,
                Some(Fault::Truncate) => return None,
            }
            let item = items.next().await?;
            Some((item, Some((plan, items))))
        })
        .boxed()
    }

    fn body(&self, name: &'static str, body: ByteStream, failure: fn(bool) -> StreamError) -> ByteStream {
        ByteStream::new(self.items(name, body.boxed(), failure))
    }
}

/// An error that can be made up.
trait Failure {
    fn failure(permanent: bool) -> Self;
}

impl Failure for DatastoreError {
    fn failure(permanent: bool) -> Self {
        if permanent { Self::Other(Injected.into()) } else { Self::Unavailable(Injected.into()) }
    }
}

impl Failure for StoreError {
    fn failure(permanent: bool) -> Self {
        if permanent { Self::Other(Injected.into()) } else { Self::Unavailable(Injected.into()) }
    }
}

impl Failure for FederationError {
    fn failure(permanent: bool) -> Self {
        if permanent { Self::Protocol(Injected.to_string()) } else { Self::Unreachable(Injected.into()) }
    }
}
