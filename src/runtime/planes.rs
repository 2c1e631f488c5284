//! Which planes a configuration asks for.

use std::sync::Arc;

use super::{Planes, clock};
use crate::cli::Reach;
use crate::config::{Config, Problem};
use crate::plane::Plane;
use crate::plane::hosts::settings::{self, Environment};
use crate::plane::hosts::{Hosts, file};
use crate::plane::kubernetes::{self, Kubernetes};

/// Makes the planes; none is asked anything yet.
pub fn open(config: &Config) -> Result<Planes, Vec<Problem>> {
    let mut planes = Planes::new();
    let mut problems = Vec::new();
    if config.kubernetes {
        match contexts(config) {
            Ok(contexts) => planes.extend(contexts.into_iter().map(|context| {
                let plane: Arc<dyn Plane> = Arc::new(kubernetes_plane(config, context));
                (plane.id(), plane)
            })),
            Err(mut found) => problems.append(&mut found),
        }
    }
    match hosts(config) {
        Ok(Some(hosts)) => drop(planes.insert(hosts.id(), Arc::new(hosts))),
        Ok(None) => {}
        Err(mut found) => problems.append(&mut found),
    }
    if problems.is_empty() { Ok(planes) } else { Err(problems) }
}

/// The plain hosts that a file, a connection string or libpq's variables name.
fn hosts(config: &Config) -> Result<Option<Hosts>, Vec<Problem>> {
    let environment = Environment::look();
    let mut groups = Vec::new();
    let mut problems = Vec::new();
    if let Some(path) = &config.hosts {
        let place = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => match file::parse(&place, &text) {
                Ok(read) => groups.extend(read),
                Err(mistakes) => problems.extend(mistakes.into_iter().map(|mistake| Problem {
                    thing: mistake.thing,
                    place: mistake.place,
                    why: mistake.why,
                    remedy: mistake.remedy,
                })),
            },
            Err(error) => problems.push(Problem {
                thing: "the hosts file".into(),
                place,
                why: format!("cannot be read: {error}"),
                remedy: "check the path in --hosts or $PGDECK_HOSTS".into(),
            }),
        }
    }
    let mut one = |place: &str, group: Result<settings::Group, String>| match group {
        Ok(group) => groups.push(group),
        Err(why) => problems.push(Problem {
            thing: "the connection string".into(),
            place: place.into(),
            why,
            remedy:
                "write it as host=db.example port=5432 user=me dbname=app sslmode=require, or as a postgresql:// URL"
                    .into(),
        }),
    };
    if let Some(dsn) = &config.dsn {
        one("--dsn", settings::from_dsn(dsn));
    }
    if config.libpq {
        one("$PGHOST", environment.group());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok((!groups.is_empty()).then(|| Hosts::new(groups, environment, Arc::new(clock::now))))
}

fn kubernetes_plane(config: &Config, context: String) -> Kubernetes {
    let role = config.roles.get(&context).cloned();
    let options = kubernetes::Options {
        context,
        kubeconfig: config.kubeconfig.clone(),
        namespaces: config.namespaces.clone(),
        direct: config.reach == Reach::Direct,
        role,
    };
    Kubernetes::new(options, Arc::new(clock::now))
}

/// The contexts to watch: those named, else the kubeconfig's current one.
fn contexts(config: &Config) -> Result<Vec<String>, Vec<Problem>> {
    let place = || match &config.kubeconfig {
        Some(path) => path.display().to_string(),
        None => std::env::var("KUBECONFIG")
            .map_or_else(|_unset| "~/.kube/config".into(), |named| format!("$KUBECONFIG ({named})")),
    };
    let (known, current) = kubernetes::contexts(config.kubeconfig.as_ref()).map_err(|fault| {
        // What the parser draws below its first line is no part of a message.
        let said = fault.to_string();
        let why = said.lines().next().unwrap_or_default().to_owned();
        let remedy = "check the path, and the file with `kubectl config view`, or name another by --kubeconfig".into();
        vec![Problem { thing: "the kubeconfig".into(), place: place(), why, remedy }]
    })?;
    let listed = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    if config.contexts.is_empty() {
        return current.map(|current| vec![current]).ok_or_else(|| {
            let why = format!("names no current context; {listed}");
            let remedy = "name one by --context".into();
            vec![Problem { thing: "the kubeconfig".into(), place: place(), why, remedy }]
        });
    }
    let unknown: Vec<Problem> = config
        .contexts
        .iter()
        .filter(|context| !known.contains(context))
        .map(|context| Problem {
            thing: format!("context {context:?}"),
            place: place(),
            why: format!("is not in the kubeconfig; {listed}"),
            remedy: "correct --context, or name another kubeconfig by --kubeconfig".into(),
        })
        .collect();
    if unknown.is_empty() { Ok(config.contexts.clone()) } else { Err(unknown) }
}
