//! Postgres for tests: one private cluster per test process, one database per test.
//!
//! `MMR_TEST_POSTGRES=URL` names an existing server to use instead; its user must be a superuser.

use std::{
    collections::VecDeque,
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use mmr_core::backend::postgres::{PostgresOptions, PostgresStore};
use tokio_postgres::{Client, NoTls};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server, and again after an outage, until the test process is gone; then the files go, too.
const SUPERVISOR: &str = r#"
trap 'touch "$D/ended"; kill -QUIT $pid 2>/dev/null' TERM INT HUP
while [ ! -e "$D/ended" ]; do
    if [ ! -e "$D/down" ]; then
        "$B/postgres" -D "$D/data" </dev/null >>"$D/log" 2>&1 9>&- & pid=$!
        while kill -0 $pid 2>/dev/null; do wait $pid; done
    fi
    [ -e "$D/ended" ] || sleep 0.05
done
rm -rf "$D"
"#;

/// A private server on loopback. It ends with the process that started it, however that ends.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts one. Blocks.
    #[must_use]
    pub fn start() -> Self {
        let binaries = binaries();
        let directory =
            tempfile::Builder::new().prefix("mmr-postgres-").tempdir().expect("a directory").keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory));
        }
        let data = directory.join("data");
        let mut initdb = unprivileged(&[]);
        initdb.arg(binaries.join("initdb")).arg("-D").arg(&data);
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
        run(&mut initdb);
        let port = free_port();
        configure(&data, &directory, port);
        let mut supervisor = unprivileged(&["--pdeathsig=TERM"]);
        supervisor.args(["sh", "-c", SUPERVISOR]).env("B", &binaries).env("D", &directory);
        supervisor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        outlive(supervisor);
        let cluster = Self { directory, port };
        cluster.wait(true);
        cluster
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Where it listens on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its private directory. The log is the file `log` in it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops it as a crash would. Blocks.
    pub fn stop(&self) {
        fs::write(self.directory.join("down"), "").expect("the directory is ours");
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).expect("the server runs");
        let pid = pid.lines().next().expect("a process id");
        run(Command::new("kill").args(["-QUIT", pid]));
        self.wait(false);
    }

    /// Starts it again after [`Cluster::stop`]. Blocks.
    pub fn restart(&self) {
        fs::remove_file(self.directory.join("down")).expect("the server is stopped");
        self.wait(true);
    }

    /// Waits until it answers, or does not.
    fn wait(&self, up: bool) {
        let began = Instant::now();
        loop {
            let answer = block_on({
                let url = self.url("postgres");
                async move { tokio_postgres::connect(&url, NoTls).await.map(drop) }
            });
            if answer.is_ok() == up {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "Postgres is still {}: {answer:?}\n{}",
                if up { "down" } else { "up" },
                fs::read_to_string(self.directory.join("log")).unwrap_or_default(),
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn configure(data: &Path, sockets: &Path, port: u16) {
    let mut file =
        fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("initdb has made it");
    write!(
        file,
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = 300\n\
         fsync = off\nfull_page_writes = off\nshared_buffers = '64MB'\nlog_line_prefix = '%d '\nautovacuum = off\n",
        sockets.display(),
    )
    .expect("the disk has room");
}

/// The URL of an empty database with our schema, for one test. It vanishes after the test.
pub async fn database_url() -> String {
    database(None).await
}

/// The same as a copy of another database, such as `template0`, which holds nothing.
pub async fn database(template: Option<&str>) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    static MADE: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
    let template = match template {
        Some(template) => template.to_owned(),
        None => migrated().await,
    };
    let name = format!("mmr_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let admin = admin().await;
    // Those of tests that are over have no connections left, and can go.
    let older = std::mem::take(&mut *MADE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut kept = VecDeque::new();
    for old in older {
        if admin.batch_execute(&format!("DROP DATABASE IF EXISTS {old}")).await.is_err() {
            kept.push_back(old);
        }
    }
    create(&admin, &name, &template).await;
    kept.push_back(name.clone());
    MADE.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
    url_of(&name)
}

/// The name of a database with our schema and nothing in it.
async fn migrated() -> String {
    static MADE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let make = async {
        let name = format!("mmr_test_{}_template", std::process::id());
        let admin = admin().await;
        create(&admin, &name, "template0").await;
        PostgresStore::migrate(&PostgresOptions::new(&url_of(&name)))
            .await
            .expect("an empty database is migrated");
        name
    };
    MADE.get_or_init(|| make).await.clone()
}

/// Sessions that have just ended may still count as users of the template.
async fn create(admin: &Client, name: &str, template: &str) {
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    let began = Instant::now();
    while let Err(error) = admin.batch_execute(&sql).await {
        let is_in_use = error.code().is_some_and(|code| code.code() == "55006");
        assert!(is_in_use && began.elapsed() < PATIENCE, "{sql}: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn admin() -> Client {
    let (client, connection) =
        tokio_postgres::connect(&url_of("postgres"), NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

fn url_of(database: &str) -> String {
    let Ok(url) = env::var("MMR_TEST_POSTGRES") else { return shared().url(database) };
    // scheme://user@host/database?parameters
    let (before, parameters) =
        url.split_once('?').map_or((&*url, ""), |(before, parameters)| (before, parameters));
    let server = before.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    format!("{server}/{database}?{parameters}")
}

/// The cluster of this process.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// Where the server's programs are.
fn binaries() -> PathBuf {
    let mut candidates: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    candidates.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    candidates.extend(env::split_paths(&path));
    let has_both =
        |directory: &PathBuf| directory.join("initdb").exists() && directory.join("postgres").exists();
    candidates.into_iter().rfind(has_both).expect(
        "initdb is neither in PATH nor in /usr/lib/postgresql/*/bin: install the package postgresql, or name a \
         server with MMR_TEST_POSTGRES=URL",
    )
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("coreutils are installed");
    id.stdout == b"0\n"
}

/// A command line to go on with the program; the servers refuse to run as root.
pub(crate) fn unprivileged(options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(options).arg("--");
    command
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Starts a command from a thread that lives as long as the process: its death is what the signal of `setpriv
/// --pdeathsig` tells.
pub(crate) fn outlive(mut command: Command) {
    let (started, wait) = mpsc::channel::<std::io::Result<()>>();
    thread::spawn(move || {
        let child: std::io::Result<Child> = command.spawn();
        match child {
            Ok(mut child) => {
                let _ = started.send(Ok(()));
                let _ = child.wait();
                loop {
                    thread::park();
                }
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    wait.recv().expect("the thread tells").expect("setpriv (util-linux) is installed");
}

/// From wherever, inside a runtime or not.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("the operating system gives us a runtime").block_on(work)
    };
    thread::scope(|scope| scope.spawn(run).join().expect("the work does not panic"))
}
