//! The way to a pod's Postgres: a stream through the API server, or the pod's own address; and who logs in there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::Options;
use super::client::Server;
use super::settings::Settings;
use super::watch::encode;
use crate::fault::Fault;
use crate::id::InstanceId;
use crate::pg::{Login, Reached, Secret, Stream, TlsMode};

/// Opening a forward may take this long.
const OPENING: Duration = Duration::from_secs(10);
const PORT: u16 = 5432;

/// How the instance is reached. TLS is always demanded inside: Spilo refuses plain connections, and its certificate is
/// self-signed, so it is not verified.
pub async fn reach(
    server: &Server,
    settings: &Settings,
    options: &Options,
    instance: &InstanceId,
) -> Result<Reached, Fault> {
    let login = login(server, settings, options, instance).await?;
    let stream = stream(server, options, instance, PORT).await?;
    let cluster = &instance.cluster;
    Ok(Reached {
        what: instance.to_string().into(),
        stream,
        server_name: format!("{}.{}.svc.cluster.local", cluster.name, cluster.namespace),
        tls: TlsMode::Require,
        login,
    })
}

/// The way to a port of a pod.
pub async fn stream(server: &Server, options: &Options, instance: &InstanceId, port: u16) -> Result<Stream, Fault> {
    if options.direct { direct(server, instance, port).await } else { forward(server, instance, port).await }
}

/// The user's name and password from the cluster's secret, by the operator's own template.
async fn login(server: &Server, settings: &Settings, options: &Options, instance: &InstanceId) -> Result<Login, Fault> {
    let cluster = &instance.cluster;
    let user = options.role.clone().unwrap_or_else(|| settings.super_username.clone());
    let names = settings.secret_names(&user, &cluster.name);
    for name in &names {
        let secret = match server
            .get_json(&format!("/api/v1/namespaces/{}/secrets/{}", encode(&cluster.namespace), encode(name)))
            .await
        {
            Ok(secret) => secret,
            Err(Fault::Gone { .. }) => continue,
            Err(fault) => return Err(fault),
        };
        let field = |key: &str| secret["data"][key].as_str().and_then(|text| STANDARD.decode(text).ok());
        let named = field("username").and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(user);
        let Some(password) = field("password") else {
            let what = format!("secret {}/{name}", cluster.namespace);
            return Err(Fault::Malformed { what, place: "data.password".into(), why: "it is missing".into() });
        };
        return Ok(Login { user: named, password: Some(Secret::new(password)), dbname: "postgres".into() });
    }
    Err(Fault::Gone {
        what: format!("the secret of {user} ({} in namespace {})", names.join(" or "), cluster.namespace),
    })
}

async fn direct(server: &Server, instance: &InstanceId, port: u16) -> Result<Stream, Fault> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", encode(&instance.cluster.namespace), encode(&instance.member));
    let pod = server.get_json(&path).await?;
    let address = pod["status"]["podIP"].as_str().map(str::to_owned);
    let host = address
        .ok_or_else(|| Fault::Unreachable { what: instance.to_string(), why: "its pod has no address yet".into() })?;
    Ok(Stream::Tcp { host, port })
}

async fn forward(server: &Server, instance: &InstanceId, port: u16) -> Result<Stream, Fault> {
    let connection = server.client().await?;
    let pods: Api<Pod> = Api::namespaced(connection.client, &instance.cluster.namespace);
    let what = || format!("the port-forward to {instance}");
    let opened = tokio::time::timeout(OPENING, pods.portforward(&instance.member, &[port])).await;
    let mut forwarder = opened
        .map_err(|_elapsed| Fault::TimedOut { what: what(), after: OPENING })?
        .map_err(|error| refused(&what(), &error))?;
    let (Some(io), Some(error)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err(Fault::Unreachable { what: what(), why: "it has no stream".into() });
    };
    let what = what();
    let broken = async move {
        let said = error.await;
        // Held until here: dropping it would end the tunnel.
        drop(forwarder);
        let why = said.unwrap_or_else(|| "the API server closed it".into());
        let why = why.rsplit("failed to connect to ").next().unwrap_or_default().trim().to_owned();
        Fault::Unreachable { what, why }
    };
    Ok(Stream::Open { io: Box::new(io), broken: Some(broken.boxed()) })
}

fn refused(what: &str, error: &kube::Error) -> Fault {
    let needs = || "the rights to get and create pods/portforward".to_owned();
    match code(error) {
        401 => Fault::AuthExpired { what: what.into(), why: error.to_string() },
        403 => Fault::Forbidden { what: what.into(), needs: needs() },
        404 => Fault::Gone { what: what.into() },
        _ => Fault::Unreachable { what: what.into(), why: error.to_string() },
    }
}

/// The status that the API server answered with; 0 if none.
pub fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)) => status.as_u16(),
        _ => 0,
    }
}
