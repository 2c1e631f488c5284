//! Which planes a configuration asks for.

use std::sync::Arc;

use super::{Planes, clock};
use crate::cli::Reach;
use crate::config::{Config, Problem};
use crate::plane::Plane;
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
    if problems.is_empty() { Ok(planes) } else { Err(problems) }
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
        None => std::env::var("KUBECONFIG").unwrap_or_else(|_unset| "~/.kube/config".into()),
    };
    let (known, current) = kubernetes::contexts(config.kubeconfig.as_ref()).map_err(|fault| {
        let remedy = "check the path and the file, or name another by --kubeconfig".into();
        vec![Problem { thing: "the kubeconfig".into(), place: place(), why: fault.to_string(), remedy }]
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
