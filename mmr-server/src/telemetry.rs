//! wip
pub(crate) fn init_dev() {}
