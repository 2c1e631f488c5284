//! Commands in a member's container: streams, exit codes, rights; by the client that pgdeck uses, and by kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use pgdeck::sandbox::command;
use pgdeck::sandbox::node::{self, Host};
use pgdeck::sandbox::process::Toolbox;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::access;
use super::stage::{PATIENCE, Stage, eventually};

/// The member that `access::member` makes, with a folder to run commands in if it is not a real one.
async fn member(stage: &Stage) -> (Api<Pod>, String) {
    let instance = access::member(stage).await;
    let name = instance.member.to_string();
    if let Some(api) = &stage.api {
        let tools = Toolbox::find().unwrap();
        tools.folder(&node::folder(&stage.folder, &stage.namespace, &name)).unwrap();
        api.exec_on(Host { tools, base: stage.folder.clone() });
    }
    let pods: Api<Pod> = Api::namespaced(stage.store.client.clone(), &stage.namespace);
    // Elsewhere a pod is ready before there is a way into it.
    eventually("a way into the member", async || is_open(&pods, &name).await).await;
    (pods, name)
}

async fn is_open(pods: &Api<Pod>, name: &str) -> bool {
    match pods.exec(name, ["true"], &streams().stdin(false)).await {
        Ok(process) => through(process, b"").await.2.status.as_deref() == Some("Success"),
        Err(_) => false,
    }
}

fn streams() -> AttachParams {
    AttachParams::default().container("postgres").stdin(true).stdout(true).stderr(true)
}

/// Gives a command its input, and takes what it says and how it ends.
async fn through(mut process: AttachedProcess, input: &[u8]) -> (Vec<u8>, Vec<u8>, Status) {
    let (stdin, mut stdout, mut stderr) = (process.stdin(), process.stdout().unwrap(), process.stderr().unwrap());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let status = process.take_status().unwrap();
    let give = async {
        let Some(mut stdin) = stdin else { return };
        stdin.write_all(input).await.unwrap();
        stdin.shutdown().await.unwrap();
        drop(stdin);
    };
    let talk = async {
        let both = tokio::join!(give, stdout.read_to_end(&mut said), stderr.read_to_end(&mut complained), status);
        both.3.unwrap()
    };
    let status = tokio::time::timeout(PATIENCE, talk).await.expect("the command did not end");
    (said, complained, status)
}

fn code(status: &Status) -> Option<&str> {
    let causes = status.details.as_ref()?.causes.as_ref()?;
    causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?.message.as_deref()
}

#[tokio::test]
async fn a_command_says_what_it_has_to_say_and_ends() {
    let stage = Stage::new().await;
    let (pods, name) = member(&stage).await;
    let script = "seq 1 200000; echo so it goes >&2";

    let talk = pods.exec(&name, ["sh", "-c", script], &streams().stdin(false)).await.unwrap();
    let (said, complained, status) = through(talk, b"").await;

    let said = String::from_utf8(said).unwrap();
    let numbers = said.lines().map(|line| line.parse::<u32>().unwrap());
    assert!(numbers.eq(1..=200_000), "{} bytes were said", said.len());
    assert_eq!(String::from_utf8_lossy(&complained), "so it goes\n");
    assert_eq!((status.status.as_deref(), code(&status)), (Some("Success"), None));
}

#[tokio::test]
async fn an_exit_code_is_told_and_input_is_read_to_its_end_or_not_at_all() {
    let stage = Stage::new().await;
    let (pods, name) = member(&stage).await;
    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();

    let echo = pods.exec(&name, ["cat"], &streams()).await.unwrap();
    let (said, _, _) = through(echo, &input).await;
    assert!(said == input, "{} of {} bytes came back", said.len(), input.len());

    let bad = pods.exec(&name, ["sh", "-c", "exit 3"], &streams()).await.unwrap();
    let (_, _, status) = through(bad, b"").await;
    assert_eq!((status.status.as_deref(), status.reason.as_deref()), (Some("Failure"), Some("NonZeroExitCode")));
    assert_eq!(code(&status), Some("3"));

    let deaf = pods.exec(&name, ["true"], &streams()).await.unwrap();
    let (_, _, status) = through(deaf, b"nobody reads this").await;
    assert_eq!(status.status.as_deref(), Some("Success"));
}

#[tokio::test]
async fn a_command_is_the_servers_user_in_the_members_folder() {
    let stage = Stage::new().await;
    let (pods, name) = member(&stage).await;

    let script = "id -un; pwd; echo $HOME; echo $PATH";
    let who = pods.exec(&name, ["sh", "-c", script], &streams().stdin(false)).await.unwrap();
    let (said, _, _) = through(who, b"").await;

    let said = String::from_utf8(said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    // Elsewhere the node has a folder of its own for all members.
    let home = node::folder(Path::new(lines[1]).parent().and_then(Path::parent).unwrap(), &stage.namespace, &name);
    let home = home.to_str().unwrap();
    assert_eq!(lines[1..3], [home, home]);
    let base = Path::new(home).parent().and_then(Path::parent).unwrap();
    assert!(lines[3].starts_with(base.join("bin").to_str().unwrap()), "{said}");
    if stage.is_embedded() {
        assert_eq!(base, stage.folder);
    }
    let tools = Toolbox::find().unwrap();
    assert_eq!(tools.user.map_or(lines[0].to_owned(), |user| user.name), lines[0]);
}

#[tokio::test]
async fn who_may_only_look_runs_nothing_and_what_is_not_there_is_named() {
    let stage = Stage::new().await;
    let (pods, name) = member(&stage).await;
    let client = command::client(&stage.viewer().await).await.unwrap().0;
    let as_viewer: Api<Pod> = Api::namespaced(client, &stage.namespace);
    let refused = |code: &'static str, done: kube::Result<AttachedProcess>| {
        let said = done.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(code), "{said}");
    };

    refused("403", as_viewer.exec(&name, ["true"], &streams()).await);
    if stage.is_embedded() {
        refused("400", pods.exec(&name, ["true"], &streams().stderr(false).tty(true)).await);
    }
    refused("400", pods.exec(&name, ["true"], &streams().container("nothing")).await);
    refused("404", pods.exec("nobody", ["true"], &streams()).await);
}

/// The kubectl that `tests/real` built.
fn kubectl() -> PathBuf {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/lib.sh");
    let told = Command::new("bash").args(["-c", r#". "$0" && echo "$bin/kubecp-$k8s""#, library]).output().unwrap();
    PathBuf::from(String::from_utf8(told.stdout).unwrap().trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_runs_a_command_and_passes_on_its_exit_code() {
    let program = kubectl();
    if !program.exists() && std::env::var_os("PGDECK_SKIP_REAL").is_some_and(|value| value == "1") {
        return eprintln!("SKIPPED: kubectl asks nothing of the embedded API, by PGDECK_SKIP_REAL=1");
    }
    assert!(program.exists(), "no {}: tests/real/build makes it, PGDECK_SKIP_REAL=1 does without", program.display());
    let stage = Stage::new().await;
    let (_, name) = member(&stage).await;
    let run = |arguments: &'static [&str]| {
        let (program, kubeconfig, namespace, name) =
            (program.clone(), stage.kubeconfig.clone(), stage.namespace.clone(), name.clone());
        tokio::task::spawn_blocking(move || {
            ask(&program, &kubeconfig, &["-n", &namespace, "exec", "-i", &name], arguments)
        })
    };
    let run = async |arguments| tokio::time::timeout(Duration::from_secs(60), run(arguments)).await.unwrap().unwrap();

    assert_eq!(run(&["--", "sh", "-c", "echo \"a  b\"; cat"]).await, (Some(0), "a  b\ninput".into()));
    assert_eq!(run(&["-c", "postgres", "--", "sh", "-c", "exit 7"]).await, (Some(7), String::new()));
}

fn ask(program: &Path, kubeconfig: &Path, before: &[&str], arguments: &[&str]) -> (Option<i32>, String) {
    use std::io::Write as _;
    let mut kubectl = Command::new(program)
        .args(["kubectl", "--kubeconfig"])
        .arg(kubeconfig)
        .args(before)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends at once leaves nobody to write to.
    let _ = kubectl.stdin.take().unwrap().write_all(b"input");
    let output = kubectl.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}
