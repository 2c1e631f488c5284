//! Plain hosts: a primary with a streaming standby outside of Kubernetes, the "old production" of a migration.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::node::Network;
use crate::sandbox::process::{Ledger, Toolbox};
use crate::sandbox::sql;
use crate::sandbox::traffic::Target;

pub const NAME: &str = "oldprod";
pub const HOSTS: [(&str, u8); 2] = [("oldprod-1", 201), ("oldprod-2", 202)];

/// A server on a plain host.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: &'static str,
    pub address: String,
    pub home: PathBuf,
}

impl Host {
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }
}

/// The pair of hosts.
#[derive(Debug, Clone)]
pub struct Hosts {
    tools: Toolbox,
    ledger: Ledger,
    pub hosts: Vec<Host>,
    /// The password of `postgres`, of the standby's role and of the application.
    pub password: String,
}

pub fn hosts(base: &Path, network: Network) -> Vec<Host> {
    let host = |(name, n): (&'static str, u8)| Host {
        name,
        address: network.host(n).to_string(),
        home: base.join("hosts").join(name),
    };
    HOSTS.map(host).to_vec()
}

impl Hosts {
    pub fn new(tools: Toolbox, base: &Path, network: Network, password: String) -> Hosts {
        Hosts { tools, ledger: Ledger::of(base), hosts: hosts(base, network), password }
    }

    /// The hosts file that pgdeck reads.
    pub fn file(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|host| format!("\"{}:5432\"", host.address)).collect();
        format!(
            "[[cluster]]\nname = \"{NAME}\"\nhosts = [{}]\nuser = \"postgres\"\ndbname = \"postgres\"\nsslmode = \"require\"\n",
            hosts.join(", ")
        )
    }

    /// The lines of a password file for the hosts.
    pub fn pgpass(&self) -> String {
        let line = |host: &Host| format!("{}:5432:*:*:{}\n", host.address, self.password);
        self.hosts.iter().map(line).collect::<Vec<String>>().concat()
    }

    pub fn target(&self) -> Target {
        let addresses = self.hosts.iter().map(|host| host.address.clone()).collect();
        Target::Hosts { name: NAME.into(), addresses, password: self.password.clone() }
    }

    /// Makes and starts the primary, then a standby from its base backup.
    pub async fn start(&self) -> Result<()> {
        let (primary, standby) = (&self.hosts[0], &self.hosts[1]);
        self.make_primary(primary).await?;
        self.serve(primary).await?;
        let session = sql::connect_locally(&primary.home, "postgres").await?;
        let what = "cannot make the roles of oldprod";
        for statement in
            ["create role standby login replication", "create role shop login", "create database shop owner shop"]
        {
            session.client.batch_execute(statement).await.during(what)?;
        }
        for role in ["postgres", "standby", "shop"] {
            let set = "select set_config('pgdeck.password', $1, false)";
            session.client.execute(set, &[&self.password]).await.during("cannot set a password")?;
            let give = format!(
                "do $$ begin execute format('alter role {role} password %L', current_setting('pgdeck.password')); end $$"
            );
            session.client.batch_execute(&give).await.during("cannot set a password")?;
        }
        let slot = "select pg_create_physical_replication_slot('oldprod_2')";
        session.client.execute(slot, &[]).await.during("cannot make a slot")?;
        self.make_standby(primary, standby).await?;
        self.serve(standby).await
    }

    async fn make_primary(&self, host: &Host) -> Result<()> {
        self.tools.folder(&host.home)?;
        let mut initdb = self.tools.command(&self.tools.bin.join("initdb"), &host.home);
        initdb.args(["--no-sync", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres"]);
        initdb.args(["--auth=trust", "--pgdata"]).arg(host.data());
        run(initdb, "initdb").await?;
        self.furnish(host)?;
        let hba = "local all all trust\nlocal replication all trust\nhostssl all all all scram-sha-256\n\
                   hostssl replication all all scram-sha-256\n";
        self.tools.write(&host.data().join("pg_hba.conf"), hba, 0o600)
    }

    async fn make_standby(&self, primary: &Host, standby: &Host) -> Result<()> {
        self.tools.folder(&standby.home)?;
        let passfile = standby.home.join("pgpass");
        self.tools.write(&passfile, &self.pgpass(), 0o600)?;
        let mut backup = self.tools.command(&self.tools.bin.join("pg_basebackup"), &standby.home);
        let source = format!(
            "host={} port=5432 user=standby passfile={} sslmode=require application_name=oldprod-2",
            primary.address,
            passfile.display()
        );
        backup.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--slot=oldprod_2", "--dbname"]);
        backup.arg(source).arg("--pgdata").arg(standby.data());
        run(backup, "pg_basebackup").await?;
        self.furnish(standby)
    }

    /// Writes the certificate and what differs from host to host.
    fn furnish(&self, host: &Host) -> Result<()> {
        let made = rcgen::generate_simple_self_signed([host.name.to_string()])
            .map_err(|error| Error::failed("cannot make a certificate", error))?;
        self.tools.write(&host.home.join("tls.crt"), &made.cert.pem(), 0o644)?;
        self.tools.write(&host.home.join("tls.key"), &made.signing_key.serialize_pem(), 0o600)?;
        let home = host.home.display();
        let settings = format!(
            "listen_addresses = '{}'\nport = 5432\nunix_socket_directories = '{home}'\nssl = on\n\
             ssl_cert_file = '{home}/tls.crt'\nssl_key_file = '{home}/tls.key'\nwal_level = logical\nfsync = off\n\
             shared_buffers = 32MB\nmax_connections = 50\ncluster_name = '{}'\nhot_standby_feedback = on\n\
             wal_keep_size = 64MB\nlogging_collector = off\npassword_encryption = scram-sha-256\n",
            host.address, host.name
        );
        self.tools.write(&host.data().join("postgresql.conf"), &settings, 0o600)
    }

    async fn serve(&self, host: &Host) -> Result<()> {
        let log = host.home.with_extension("log");
        let out = std::fs::File::create(&log).during(format!("cannot write {}", log.display()))?;
        let err = out.try_clone().during(format!("cannot write {}", log.display()))?;
        let mut server = self.tools.server(&self.tools.bin.join("postgres"), &host.home);
        server.arg("-D").arg(host.data()).stdout(out).stderr(err);
        let mut server = server.spawn().during("cannot start postgres")?;
        if let Some(pid) = server.id() {
            self.ledger.record(pid, &format!("postgres {}", host.name))?;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while sql::connect_locally(&host.home, "postgres").await.is_err() {
            let is_over = matches!(server.try_wait(), Ok(Some(_)) | Err(_));
            if is_over || Instant::now() > deadline {
                let why = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::failed(format!("{} did not start", host.name), why));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Nobody waits for it: it is ended by what is written down, and reaped by the runtime.
        drop(server);
        Ok(())
    }
}

async fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.stdout(Stdio::null()).output().await.during(format!("cannot start {what}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Error::failed(format!("{what} failed"), String::from_utf8_lossy(&output.stderr).trim()))
    }
}
