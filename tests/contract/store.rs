//! The store contract, held by every ready backend, and what only a database in a file can show.

mod memory {
    use mmr_core::{backend::memory::MemoryStore, testing::media_store_suite};

    media_store_suite!(MemoryStore::new());
}

mod sqlite {
    use mmr_core::{backend::sqlite::SqliteStore, testing::media_store_suite};

    media_store_suite!(SqliteStore::in_memory().unwrap());
}

mod postgres {
    use mmr_core::{
        backend::postgres::{PostgresOptions, PostgresStore},
        testing::media_store_suite,
    };
    use mmr_test_support::database_url;

    media_store_suite!(PostgresStore::connect(PostgresOptions::new(&database_url().await)).await.unwrap());
}

#[path = "sqlite_file.rs"]
mod sqlite_file;
