//! The store contract, held by every ready backend.

mod memory {
    use mmr_core::{backend::memory::MemoryStore, testing::media_store_suite};

    media_store_suite!(MemoryStore::new());
}

mod sqlite {
    use mmr_core::{backend::sqlite::SqliteStore, testing::media_store_suite};

    media_store_suite!(SqliteStore::in_memory().unwrap());
}
