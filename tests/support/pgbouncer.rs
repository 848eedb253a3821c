//! `PgBouncer` in transaction mode, in front of a cluster.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;

use super::postgres::{Cluster, block_on, free_port, outlive, run, unprivileged};

/// A pooler that hands each transaction to whichever session is free.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
}

impl PgBouncer {
    /// Starts one in front of `cluster`, which must outlive it. Blocks.
    #[must_use]
    pub fn start(cluster: &Cluster) -> Self {
        let program: PathBuf = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .expect("pgbouncer is not installed: install the package pgbouncer");
        let directory = cluster.directory();
        let port = free_port();
        let users = directory.join("pgbouncer.users");
        let config = directory.join("pgbouncer.ini");
        fs::write(&users, "\"postgres\" \"\"\n").expect("the directory is ours");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\nmax_client_conn = 1000\n\
             default_pool_size = 8\nserver_idle_timeout = 1\n",
            cluster.port(),
            users.display(),
        );
        fs::write(&config, text).expect("the directory is ours");
        run(std::process::Command::new("chmod").arg("a+r").args([&users, &config]));
        let log = fs::File::create(directory.join("pgbouncer.log")).expect("the directory is ours");
        let mut command = unprivileged(&["--pdeathsig=KILL"]);
        command.arg(program).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        outlive(command);
        let bouncer = Self { port };
        let began = Instant::now();
        while let Err(error) = bouncer.probe() {
            let log = fs::read_to_string(directory.join("pgbouncer.log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "PgBouncer does not answer: {error:?}\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }

    fn probe(&self) -> Result<(), tokio_postgres::Error> {
        let url = self.through("postgres://postgres@127.0.0.1/postgres?sslmode=disable");
        block_on(async move { tokio_postgres::connect(&url, NoTls).await.map(drop) })
    }

    /// The URL of a database of the cluster, through the pooler.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        let (_, rest) = url.split_once("@127.0.0.1").expect("a URL of a cluster");
        let (_, database) = rest.split_once('/').expect("a URL with a database");
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
