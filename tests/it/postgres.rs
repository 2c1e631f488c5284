//! Real Postgres servers for the tests: made in a folder of their own, ended with the value that holds them.

#![allow(clippy::print_stderr, reason = "a version that is not tested must be said loudly")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pgdeck::pg::connect::{self, Manners, Session};
use pgdeck::pg::{Login, Reached, Secret, Stream, TlsMode};

/// The password of the role `watcher`, which has `pg_monitor` and nothing else.
pub const WATCHER: &str = "CANARY-watcher";

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// The programs of one Postgres installation.
#[derive(Debug, Clone)]
pub struct Installation(PathBuf);

impl Installation {
    /// The machine's own, the newest if there are several.
    pub fn own() -> Self {
        let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<_> = found.filter(|home| home.join("bin/initdb").exists()).collect();
        found.sort();
        Installation(found.pop().expect("no Postgres below /usr/lib/postgresql: apt-get install postgresql"))
    }

    /// A fetched one; none only where the user says that this machine does without.
    pub fn fetched(major: u16) -> Option<Self> {
        let folder = std::env::var_os("PGDECK_TEST_POSTGRES")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/postgres"), PathBuf::from);
        let home = folder.join(major.to_string());
        if home.join("bin/initdb").exists() {
            return Some(Installation(home).within_reach(major));
        }
        assert!(
            std::env::var_os("PGDECK_SKIP_PG_VERSIONS").is_some_and(|value| value == "1"),
            "no Postgres {major} in {}: run tests/get-postgres, or set PGDECK_SKIP_PG_VERSIONS=1",
            folder.display()
        );
        eprintln!("SKIPPED: Postgres {major} is not tested, by PGDECK_SKIP_PG_VERSIONS=1");
        None
    }

    /// Itself, if the user that runs the servers can enter its folder; else a copy that can be entered. A checkout of
    /// root's may well lie where nobody else may go.
    fn within_reach(self, major: u16) -> Self {
        let probe = self.command("postgres").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if probe.is_ok_and(|status| status.success()) {
            return self;
        }
        let copy = std::env::temp_dir().join(format!("pgdeck-test-postgres-{major}"));
        if !copy.join("bin/postgres").exists() {
            let half = copy.with_extension(format!("{}", std::process::id()));
            let copied = Command::new("cp").arg("-a").arg(&self.0).arg(&half).status().unwrap();
            assert!(copied.success(), "{} cannot be copied to {}", self.0.display(), half.display());
            // Another test may have been faster: then its copy stands.
            if fs::rename(&half, &copy).is_err() {
                fs::remove_dir_all(&half).unwrap();
            }
        }
        Installation(copy)
    }

    /// A program of it, run as a user that Postgres accepts.
    fn command(&self, program: &str) -> Command {
        let path = self.0.join("bin").join(program);
        let mut command = match owner() {
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups", "--"]);
                command.arg(path);
                command
            }
            None => Command::new(path),
        };
        command.env("LD_LIBRARY_PATH", self.0.join("lib")).current_dir("/");
        command
    }
}

/// When root: who runs the servers instead.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().expect("there is no user postgres")
    };
    Some((id("-u"), id("-g")))
}

/// A folder that the servers' user owns; gone when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pgdeck-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        own(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder fails no test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn own(path: &Path) {
    if let Some((uid, gid)) = owner() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// One running server.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    child: Child,
    folder: Folder,
    pub port: u16,
}

impl Server {
    /// A fresh primary with the roles `postgres` (trusted) and `watcher`, and lines of its own in `postgresql.conf`.
    pub async fn primary(installation: &Installation, settings: &str) -> Self {
        let folder = Folder::new();
        let data = folder.0.join("data");
        let made = installation
            .command("initdb")
            .args([
                "-D",
                data.to_str().unwrap(),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let hba = "host all postgres 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n\
                   host all refused 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), hba).unwrap();
        let server = Server::start(installation, folder, settings);
        server
            .execute(&format!(
                "set password_encryption = 'scram-sha-256';
                 create role watcher login password '{WATCHER}' in role pg_monitor;
                 create role refused login;
                 create table t (id bigserial primary key, x text)"
            ))
            .await;
        server
    }

    /// A standby of `primary` over a physical slot. The primary is stopped for the copy and started again.
    pub async fn standby(primary: &mut Server) -> Self {
        primary.stop();
        let folder = Folder::new();
        let (from, to) = (primary.folder.0.join("data"), folder.0.join("data"));
        copy(&from, &to);
        fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
        primary.child = launch(&primary.installation, &primary.folder, primary.port, "");
        let session = primary.session("postgres").await;
        session.client.batch_execute("select pg_create_physical_replication_slot('standby1', true)").await.unwrap();
        fs::write(to.join("standby.signal"), "").unwrap();
        own(&to.join("standby.signal"));
        let settings = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres application_name=standby1'\n\
             primary_slot_name = 'standby1'\n",
            primary.port
        );
        let standby = Server::start(&primary.installation, folder, &settings);
        drop(standby.session("postgres").await);
        standby
    }

    fn start(installation: &Installation, folder: Folder, settings: &str) -> Self {
        let port = free_port();
        let child = launch(installation, &folder, port, settings);
        Server { installation: installation.clone(), child, folder, port }
    }

    /// Offers TLS from now on, with that certificate and key.
    pub async fn encrypt(&mut self, certificate: &str, key: &str) {
        let data = self.folder.0.join("data");
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            fs::write(&path, pem).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            own(&path);
        }
        drop(self.session("postgres").await);
        self.stop();
        self.child = launch(&self.installation, &self.folder, self.port, "ssl = on");
        drop(self.session("postgres").await);
    }

    /// Ends it cleanly.
    pub fn stop(&mut self) {
        self.signal(rustix::process::Signal::INT);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // It may have ended by itself, which the wait that follows tells.
        let _ = rustix::process::kill_process(pid, signal);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    /// How it is reached, in the clear, by a user of its own database `postgres`.
    pub fn reached(&self, user: &str) -> Reached {
        let password = (user == "watcher").then(|| Secret::new(WATCHER));
        Reached {
            what: format!("127.0.0.1:{}", self.port).as_str().into(),
            stream: Stream::Tcp { host: "127.0.0.1".into(), port: self.port },
            server_name: "127.0.0.1".into(),
            tls: TlsMode::Disable,
            login: Login { user: user.into(), password, dbname: "postgres".into() },
        }
    }

    /// A session, as soon as it answers.
    pub async fn session(&self, user: &str) -> Session {
        let manners = Manners { statement_timeout: DEADLINE, lock_timeout: DEADLINE, read_only: true };
        let until = Instant::now() + DEADLINE;
        loop {
            match connect::open(self.reached(user), manners).await {
                Ok(session) => return session,
                Err(fault) => assert!(Instant::now() < until, "{fault}: {}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs SQL that may write, as the superuser.
    pub async fn execute(&self, sql: &str) {
        let session = self.session("postgres").await;
        session
            .client
            .batch_execute("set default_transaction_read_only = off; set search_path = public")
            .await
            .unwrap();
        session.client.batch_execute(sql).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::QUIT);
        // Its exit status after being thrown out tells nothing.
        let _ = self.child.wait();
    }
}

fn launch(installation: &Installation, folder: &Folder, port: u16, settings: &str) -> Child {
    let data = folder.0.join("data");
    let mut text = fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    if !settings.is_empty() || !text.contains("max_wal_senders") {
        write!(text, "wal_level = logical\nmax_wal_senders = 8\nfsync = off\nhot_standby_feedback = on\n{settings}\n")
            .unwrap();
        fs::write(data.join("postgresql.auto.conf"), text).unwrap();
    }
    let log = fs::File::create(folder.0.join("log")).unwrap();
    let mut command = installation.command("postgres");
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories=", "-c", "shared_buffers=16MB"]);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    own(to);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
            fs::set_permissions(&target, fs::Permissions::from_mode(0o700)).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
            own(&target);
        }
    }
}
