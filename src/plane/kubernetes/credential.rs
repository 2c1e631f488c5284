//! Kubeconfigs and credentials: which contexts there are, who logs in, and plugins that never touch the terminal.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::Config;
use kube::config::{AuthInfo, ExecAuthCluster, ExecConfig, KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fault::Fault;

/// A plugin that takes longer is ended.
const PLUGIN: Duration = Duration::from_secs(20);

/// Where the kubeconfig is and which of its contexts is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// None: `$KUBECONFIG` (several files are merged as kubectl does it), else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    pub context: String,
}

/// Reads the kubeconfig.
pub fn read(path: Option<&PathBuf>) -> Result<Kubeconfig, Fault> {
    let place = || match path {
        Some(path) => path.display().to_string(),
        None => std::env::var("KUBECONFIG").unwrap_or_else(|_unset| "~/.kube/config".into()),
    };
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => usual(),
    };
    read.map_err(|error| Fault::Malformed { what: "the kubeconfig".into(), place: place(), why: error.to_string() })
}

/// The files of `$KUBECONFIG`, merged; as in kubectl, of several those that are missing do not count.
fn usual() -> Result<Kubeconfig, KubeconfigError> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let there: Vec<PathBuf> = std::env::split_paths(&named).filter(|file| file.exists()).collect();
    if there.is_empty() {
        return Kubeconfig::read();
    }
    there.iter().try_fold(Kubeconfig::default(), |merged, file| merged.merge(Kubeconfig::read_from(file)?))
}

/// The names of all contexts, and the current one.
pub fn contexts(kubeconfig: &Kubeconfig) -> (Vec<String>, Option<String>) {
    let names = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    (names, kubeconfig.current_context.clone().filter(|name| !name.is_empty()))
}

/// A configuration to connect with, and when its credential ends.
#[derive(Debug)]
pub struct Login {
    pub config: Config,
    pub ends: Option<Timestamp>,
    /// The namespace of the context.
    pub namespace: String,
}

/// Logs in as the kubeconfig says. Runs a credential plugin as a child of our own: without the terminal, with a deadline.
pub async fn login(choice: &Choice) -> Result<Login, Fault> {
    let mut kubeconfig = read(choice.kubeconfig.as_ref())?;
    let user = user_of(&kubeconfig, &choice.context)?;
    let mut ends = None;
    let cluster = cluster_of(&kubeconfig, &choice.context);
    let named = kubeconfig.auth_infos.iter_mut().find(|named| named.name == user);
    if let Some(info) = named.and_then(|named| named.auth_info.as_mut()) {
        if let Some(provider) = &info.auth_provider {
            let what = format!("context {}", choice.context);
            let why =
                format!("auth-provider {:?} was removed from Kubernetes; use an exec plugin or a token", provider.name);
            return Err(Fault::Unsupported { what, why });
        }
        if let Some(exec) = info.exec.take() {
            ends = plugin(&choice.context, &exec, cluster.as_ref(), info).await?;
        }
    }
    let options = KubeConfigOptions { context: Some(choice.context.clone()), ..KubeConfigOptions::default() };
    let malformed = |error: kube::config::KubeconfigError| Fault::Malformed {
        what: format!("context {}", choice.context),
        place: "the kubeconfig".into(),
        why: error.to_string(),
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(malformed)?;
    if config.proxy_url.is_some() {
        let what = format!("context {}", choice.context);
        return Err(Fault::Unsupported {
            what,
            why: "its kubeconfig names a proxy-url, which this pgdeck cannot use".into(),
        });
    }
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = None;
    let agent = concat!("pgdeck/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    let namespace = config.default_namespace.clone();
    Ok(Login { config, ends, namespace })
}

fn user_of(kubeconfig: &Kubeconfig, context: &str) -> Result<String, Fault> {
    let named = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(named) = named else {
        let mut names: Vec<&str> = kubeconfig.contexts.iter().map(|named| &*named.name).collect();
        names.sort_unstable();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let why = format!("there is no context of that name; there are: {known}");
        return Err(Fault::Malformed { what: format!("context {context:?}"), place: "the kubeconfig".into(), why });
    };
    Ok(named.context.as_ref().and_then(|context| context.user.clone()).unwrap_or_default())
}

/// What a plugin may be told of its cluster.
fn cluster_of(kubeconfig: &Kubeconfig, context: &str) -> Option<ExecAuthCluster> {
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let named = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?;
    // What cannot be read is complained of where the connection is made.
    ExecAuthCluster::try_from(named.cluster.as_ref()?).ok()
}

/// Runs a plugin and puts what it says in place of itself. Returns when that ends.
async fn plugin(
    context: &str,
    exec: &ExecConfig,
    cluster: Option<&ExecAuthCluster>,
    info: &mut AuthInfo,
) -> Result<Option<Timestamp>, Fault> {
    let program = exec.command.clone().unwrap_or_default();
    let what = || format!("context {context}: its login plugin {program:?}");
    let failed = |why: String| Fault::AuthExpired { what: what(), why };
    let mut command = Command::new(&program);
    command.args(exec.args.iter().flatten()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process group of its own: one that opens the terminal all the same is stopped, and takes no keys from the screen.
    command.kill_on_drop(true).process_group(0);
    for pair in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (pair.get("name"), pair.get("value")) {
            command.env(name, value);
        }
    }
    let version = exec.api_version.clone().unwrap_or_else(|| "client.authentication.k8s.io/v1".into());
    let mut ask = json!({"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false}});
    if let Some(cluster) = cluster.filter(|_| exec.provide_cluster_info) {
        ask["spec"]["cluster"] = json!(cluster);
    }
    command.env("KUBERNETES_EXEC_INFO", ask.to_string());
    let output = tokio::time::timeout(PLUGIN, command.output()).await;
    let output = output.map_err(|_elapsed| Fault::TimedOut { what: what(), after: PLUGIN })?;
    let output = output.map_err(|error| failed(format!("it cannot be run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(failed(format!("{}: {last}", output.status)));
    }
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("its answer cannot be read: {error}")))?;
    let status = &said["status"];
    let mut patch = serde_json::Map::new();
    let mut take = |from: &str, to: &str, encode: bool| {
        if let Some(text) = status[from].as_str() {
            use base64::Engine as _;
            let text = if encode { base64::engine::general_purpose::STANDARD.encode(text) } else { text.to_owned() };
            patch.insert(to.to_owned(), text.into());
        }
    };
    take("token", "token", false);
    take("clientCertificateData", "client-certificate-data", true);
    take("clientKeyData", "client-key-data", true);
    if patch.is_empty() {
        return Err(failed("its answer holds neither a token nor a certificate".into()));
    }
    let login: AuthInfo = serde_json::from_value(Value::Object(patch)).map_err(|error| failed(error.to_string()))?;
    // The rest stands: whom to impersonate, above all.
    if login.token.is_some() {
        (info.token, info.token_file) = (login.token, None);
    }
    if login.client_certificate_data.is_some() {
        (info.client_certificate, info.client_key) = (None, None);
        (info.client_certificate_data, info.client_key_data) = (login.client_certificate_data, login.client_key_data);
    }
    Ok(status["expirationTimestamp"].as_str().and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plugin_logs_in_and_whom_to_impersonate_stands() {
        let script = r#"printf '%s' '{"status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}'"#;
        let args = Some(vec!["-c".to_owned(), script.to_owned()]);
        let exec = ExecConfig { command: Some("sh".into()), args, ..ExecConfig::default() };
        let mut info = AuthInfo { impersonate: Some("viewer".into()), ..AuthInfo::default() };
        let ends = plugin("c", &exec, None, &mut info).await.unwrap();
        assert_eq!((info.impersonate.as_deref(), info.token.is_some()), (Some("viewer"), true));
        assert_eq!(ends, "2030-01-01T00:00:00Z".parse().ok());
    }

    #[tokio::test]
    async fn a_plugin_is_told_of_its_cluster_where_the_kubeconfig_says_so() {
        let told = r#"case "$KUBERNETES_EXEC_INFO" in *https://api.example*) t=told ;; *) t=untold ;; esac
            printf '{"status":{"token":"%s"}}' $t"#;
        let cluster = ExecAuthCluster { server: Some("https://api.example".into()), ..ExecAuthCluster::default() };
        for (provide_cluster_info, expected) in [(true, "told"), (false, "untold")] {
            let args = Some(vec!["-c".to_owned(), told.to_owned()]);
            let exec = ExecConfig { command: Some("sh".into()), args, provide_cluster_info, ..ExecConfig::default() };
            let mut info = AuthInfo::default();
            plugin("c", &exec, Some(&cluster), &mut info).await.unwrap();
            assert_eq!(json!(info)["token"], expected);
        }
    }
}
