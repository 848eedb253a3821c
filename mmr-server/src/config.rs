//! wip
pub(crate) fn data_directory() -> Option<std::path::PathBuf> {
    Some("/tmp/mmr-dev".into())
}
