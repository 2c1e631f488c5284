//! What `pgdeck sandbox …` does; the heads print what comes back.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::sandbox::crowd::{self, Regime};
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::fleet::Fleet;
use crate::sandbox::objects::Store;
use crate::sandbox::process::Toolbox;
use crate::sandbox::registry::Place;
use crate::sandbox::status::{self, Status};
use crate::sandbox::traffic::Desk;
use crate::sandbox::{Options, Sandbox, node};

/// Starts a sandbox and stays until ctrl-c or a signal ends it; `say` is told the milestones.
pub async fn up(options: Options, mut say: impl FnMut(&str)) -> Result<()> {
    let ended = termination()?;
    let sandbox = Sandbox::start(options).await?;
    say(&format!("the API answers: {}", sandbox.kubeconfig().display()));
    tokio::pin!(ended);
    tokio::select! {
        // Both only wait; a fleet that never gets ready is still there to be looked at.
        ready = sandbox.ready(Duration::from_secs(300)) => {
            match ready {
                Ok(()) => say("every member runs or streams, and the workload writes"),
                Err(error) => say(&error.to_string()),
            }
            ended.await;
        }
        () = &mut ended => {}
    }
    sandbox.stop().await
}

/// Completes at ctrl-c, SIGTERM or SIGHUP.
fn termination() -> Result<impl Future<Output = ()>> {
    let mut kinds = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        kinds.push(signal(kind).during("cannot listen for signals")?);
    }
    Ok(async move {
        let waits = kinds.iter_mut().map(|kind| Box::pin(kind.recv()));
        futures::future::select_all(waits).await;
    })
}

/// Starts a supervisor of its own that runs `arguments`, and returns when its API answers.
pub fn detach(name: &str, arguments: &[String]) -> Result<()> {
    let place = Place::new(name)?;
    let ourselves = std::env::current_exe().during("cannot find our own program")?;
    let log = place.log();
    if let Some(root) = log.parent() {
        std::fs::create_dir_all(root).during(format!("cannot make the folder {}", root.display()))?;
    }
    let out = std::fs::File::create(&log).during(format!("cannot write {}", log.display()))?;
    let err = out.try_clone().during(format!("cannot write {}", log.display()))?;
    let mut supervisor = std::process::Command::new("setsid");
    supervisor.arg(ourselves).args(arguments).stdin(Stdio::null()).stdout(out).stderr(err).current_dir("/");
    let mut supervisor = supervisor.spawn().during("cannot start the supervisor")?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let record = place.record();
        if record.is_some_and(|record| record.is_ready && record.supervisor.pid == supervisor.id()) {
            return Ok(());
        }
        let is_over = supervisor.try_wait().during("cannot watch the supervisor")?.is_some();
        if is_over || Instant::now() > deadline {
            let why = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::failed(format!("the sandbox {name} did not start"), why.trim()));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Ends a sandbox; whether there was one.
pub fn down(name: &str) -> Result<bool> {
    Place::new(name)?.end()
}

pub async fn status(name: &str) -> Result<Status> {
    let place = Place::new(name)?;
    let is_up = place.record().is_some_and(|record| record.is_ready && record.supervisor.is_alive());
    let store = if is_up { Some(Store::new(client(&place.kubeconfig()).await?.0, "pgdeck-sandbox")) } else { None };
    match status::look(&place, store.as_ref()).await {
        // Its supervisor may be ending just now: what can be seen without the API is told all the same.
        Err(error) if store.is_some() => {
            let without = status::look(&place, None).await?;
            Ok(Status { problem: Some(error.to_string()), ..without })
        }
        looked => looked,
    }
}

/// Whether a sandbox is up and its API answers.
pub fn is_up(name: &str) -> Result<bool> {
    let record = Place::new(name)?.record();
    Ok(record.is_some_and(|record| record.is_ready && record.supervisor.is_alive()))
}

/// The lines that a shell evaluates to talk to a sandbox.
pub fn env(name: &str) -> Result<String> {
    let variables = variables(name)?;
    let lines: Vec<String> =
        variables.iter().map(|(name, value)| format!("export {name}={}", value.display())).collect();
    Ok(lines.join("\n"))
}

/// The variables that lead to a sandbox.
pub fn variables(name: &str) -> Result<Vec<(&'static str, PathBuf)>> {
    let place = Place::new(name)?;
    if place.record().is_none() {
        let why = format!("start it: pgdeck sandbox up --detach --name {name}");
        return Err(Error::failed(format!("the sandbox {name} is not up"), why));
    }
    let mut variables = vec![("KUBECONFIG", place.kubeconfig())];
    if place.hosts().exists() {
        variables.extend([("PGDECK_HOSTS", place.hosts()), ("PGPASSFILE", place.pgpass())]);
    }
    Ok(variables)
}

/// The name of a sandbox's context.
pub fn context(name: &str) -> Result<String> {
    let kubeconfig = Place::new(name)?.kubeconfig();
    let what = format!("cannot use {}", kubeconfig.display());
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| Error::failed(what, error))?;
    Ok(read.current_context.unwrap_or_default())
}

/// Changes how many statements a second the workload sends to each place.
pub fn rate(name: &str, per_second: u32) -> Result<()> {
    let place = Place::new(name)?;
    let file = Desk::of(&place.folder()).rate;
    std::fs::write(&file, per_second.to_string()).during(format!("cannot write {}", file.display()))
}

/// Runs the pods of any API server on this machine until ctrl-c.
pub async fn node(kubeconfig: Option<&Path>, base: &Path, names: Option<&Path>) -> Result<()> {
    let ended = termination()?;
    let named = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    let kubeconfig = kubeconfig.or(named.as_deref());
    let kubeconfig =
        kubeconfig.ok_or_else(|| Error::failed("the node has no way to an API server", "set --kubeconfig"))?;
    let (client, context) = client(kubeconfig).await?;
    let store = Store::new(client, "pgdeck-node");
    let options = node::Options {
        kubeconfig: absolute(kubeconfig)?,
        context,
        base: absolute(base)?,
        labels: format!("application=spilo,{}", node::NOT_CROWD),
        network: None,
        names: names.map(Path::to_path_buf),
    };
    let (stop, stopped) = watch::channel(false);
    let running = node::run(store, Toolbox::find()?, options, stopped);
    tokio::pin!(running);
    tokio::select! {
        // The node goes on below if it is told to stop.
        done = &mut running => return done,
        () = ended => {}
    }
    stop.send_replace(true);
    running.await
}

/// Makes a crowd in any API server; with a regime that moves it stays until ctrl-c.
pub async fn crowd(kubeconfig: Option<&Path>, n: u32, regime: Regime, mut say: impl FnMut(&str)) -> Result<()> {
    let ended = termination()?;
    let client = match kubeconfig {
        Some(path) => client(path).await?.0,
        None => Client::try_default().await.during("cannot reach the API server of your kubeconfig")?,
    };
    let store = Store::new(client, "pgdeck-crowd");
    let begun = Instant::now();
    crowd::make(&store, n, regime).await?;
    say(&format!("{n} clusters were made in {:.1} s", begun.elapsed().as_secs_f64()));
    if regime.is_moving() {
        tokio::select! {
            // Both only wait.
            () = crowd::live(store, n, regime) => {}
            () = ended => {}
        }
    }
    Ok(())
}

/// A client by a kubeconfig file, and the name of its context.
pub async fn client(kubeconfig: &Path) -> Result<(Client, String)> {
    let what = format!("cannot use {}", kubeconfig.display());
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| Error::failed(&*what, error))?;
    let context = read.current_context.clone().unwrap_or_default();
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| Error::failed(&*what, error))?;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static("pgdeck-sandbox")));
    Ok((Client::try_from(config).during(what)?, context))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).during(format!("cannot use {}", path.display()))
}

/// The arguments that start a supervisor like this one.
pub fn supervisor(options: &Options) -> Vec<String> {
    let fleet = match options.fleet {
        Fleet::Default | Fleet::Small | Fleet::None => options.fleet.word(),
    };
    let mut arguments: Vec<String> =
        ["sandbox", "up", "--name", &options.name, "--fleet", fleet].map(String::from).into();
    arguments.extend(["--crowd".into(), options.crowd.to_string(), "--regime".into(), options.regime.word().into()]);
    arguments
}
