//! What goes wrong with a transaction in which several callers have their part.

use std::{error::Error, sync::Arc};

use crate::store::StoreError;

/// Why a whole group failed; shared by all of its callers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transaction that the operation was part of failed")]
pub(super) struct GroupError(#[source] Arc<dyn Error + Send + Sync>);

impl From<StoreError> for GroupError {
    fn from(error: StoreError) -> Self {
        Self(Arc::new(error))
    }
}
