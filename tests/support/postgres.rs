//! Postgres for tests: one private cluster per test process, one database per test.
//!
//! `MMR_TEST_POSTGRES=URL` names an existing server to use instead; its user must be a superuser.

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use mmr_core::backend::postgres::{PostgresOptions, PostgresStore};
use tokio_postgres::{Client, NoTls};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_mins(1);

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
    databases: Databases,
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
        let databases = Databases::on(url(port, DATABASE));
        let cluster = Self { directory, port, databases };
        cluster.wait(true);
        cluster
    }

    /// The one of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of its database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port, "postgres")
    }

    /// The URL of an empty database with our schema, for one test.
    pub async fn database(&self) -> String {
        self.databases.fresh().await
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
                let url = self.url();
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

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
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
    databases().fresh().await
}

/// The URL of a database without our schema.
pub async fn bare_database_url() -> String {
    databases().copy_of("template0").await
}

fn databases() -> &'static Databases {
    static NAMED: OnceLock<Option<Databases>> = OnceLock::new();
    let named = NAMED.get_or_init(|| {
        let url = env::var_os("MMR_TEST_POSTGRES")?.into_string().expect("a URL is ASCII");
        // scheme://user@host/database?parameters
        let (before, parameters) = url.split_once('?').unwrap_or((&url, ""));
        let server = before.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        Some(Databases::on(format!("{server}/{DATABASE}?{parameters}")))
    });
    named.as_ref().unwrap_or_else(|| &Cluster::shared().databases)
}

/// Stands for the database in the URL of a server.
const DATABASE: &str = "DATABASE";

/// The databases of tests on one server.
#[derive(Debug)]
struct Databases {
    url: String,
    /// The name of one with our schema and nothing in it.
    template: tokio::sync::OnceCell<String>,
    made: Mutex<Vec<String>>,
}

impl Databases {
    fn on(url: String) -> Self {
        Self { url, template: tokio::sync::OnceCell::new(), made: Mutex::default() }
    }

    fn url_of(&self, name: &str) -> String {
        self.url.replace(DATABASE, name)
    }

    async fn fresh(&self) -> String {
        let make = async {
            let name = self.make("template0").await;
            let options = PostgresOptions::new(&self.url_of(&name));
            PostgresStore::migrate(&options).await.expect("an empty database is migrated");
            name
        };
        let template = self.template.get_or_init(|| make).await.clone();
        self.copy_of(&template).await
    }

    fn made(&self) -> MutexGuard<'_, Vec<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn copy_of(&self, template: &str) -> String {
        let name = self.make(template).await;
        let url = self.url_of(&name);
        // As long as the test's runtime lives, the database is in use.
        let client = connect(&url).await;
        in_background(async move {
            let _client = client;
            std::future::pending::<()>().await;
        });
        self.made().push(name);
        url
    }

    async fn make(&self, template: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mmr_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&self.url_of("postgres")).await;
        // Those of tests that are over can go.
        let older = std::mem::take(&mut *self.made());
        let mut kept = Vec::new();
        for old in older {
            if admin.batch_execute(&format!("DROP DATABASE IF EXISTS {old}")).await.is_err() {
                kept.push(old);
            }
        }
        self.made().extend(kept);
        create(&admin, &name, template).await;
        name
    }
}

/// A session that says what tests want of the server beside the store.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    in_background(async move {
        // An error means that the server is gone, or has ended the session.
        let _ = connection.await;
    });
    client
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
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
