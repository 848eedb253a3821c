//! Contract suites, fault injection and fixtures for implementors of the seams.

use std::{future::Future, time::Duration};

mod clock;
pub mod datastore_suite;
pub mod fault;
pub mod federation_suite;
pub mod fixtures;
#[cfg(feature = "net")]
#[doc(hidden)]
pub mod fuzz;
#[cfg(all(feature = "native", feature = "workers"))]
#[doc(hidden)]
pub mod fuzz_pictures;
#[cfg(feature = "images")]
pub mod images;
pub mod store_suite;

pub use self::clock::ManualClock;
pub use crate::{datastore_suite, federation_suite, media_store_suite};

/// Runs one promise of a suite on a runtime of its own; a promise that hangs is a promise broken.
///
/// What the suites' macros expand to calls this, so that they need nothing but this crate.
#[doc(hidden)]
pub fn run(promise: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the operating system gives threads");
    let limit = Duration::from_mins(2);
    let ended = runtime.block_on(async { tokio::time::timeout(limit, promise).await });
    assert!(ended.is_ok(), "the promise hung");
}

/// One test per promise.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract {
    // The attributes in parentheses are those of every test.
    (@all $suite:path, $attributes:tt, $make:expr, [$($promise:ident),*]) => {
        $(
            $crate::__contract!(@test $suite, $attributes, $make, $promise);
        )*
    };
    (@test $suite:path, ($(#[$attribute:meta])*), $make:expr, $promise:ident) => {
            #[test]
            $(#[$attribute])*
            fn $promise() {
                use $suite as suite;
                $crate::testing::run(async {
                    let under_test = $make;
                    suite::$promise(&under_test).await;
                });
            }
    };
    ($suite:path, $make:expr, [$($promise:ident),* $(,)?]) => {
        $crate::__contract!(@all $suite, (), $make, [$($promise),*]);
    };
}
