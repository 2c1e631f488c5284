//! Programs that get the terminal for a while: psql by a forwarded port, a shell in a pod by kubectl.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fault::Fault;
use crate::id::{InstanceId, PlaneId};
use crate::runtime::Runtime;
use crate::runtime::forward::Forwarded;
use crate::runtime::owner;
use crate::work::order::{Order, READ_ONLY, Shell};

/// A program has the terminal: keys that raise signals are its own business.
pub static HANDED_OVER: AtomicBool = AtomicBool::new(false);
/// The system has asked us to end while a program had the terminal.
pub static ENDING: AtomicBool = AtomicBool::new(false);

/// The kubeconfig that was named, where not the usual one is meant: kubectl must look into no other.
pub static KUBECONFIG: OnceLock<PathBuf> = OnceLock::new();

/// How often it is looked whether the program has ended, or we should.
const LOOK: Duration = Duration::from_millis(50);

/// Whether that order wants the terminal, or a port of ours.
pub fn shell(order: &Order) -> Option<(&InstanceId, &Shell)> {
    match order {
        Order::Shell { instance, shell } => Some((instance, shell)),
        _ => None,
    }
}

/// A file with one password, gone when it is dropped.
#[derive(Debug)]
struct PassFile(PathBuf);

impl PassFile {
    fn write(folder: &Path, forwarded: &Forwarded) -> io::Result<Option<PassFile>> {
        let Some(line) = forwarded.pass_line() else { return Ok(None) };
        fs::create_dir_all(folder)?;
        let host = owner::host().unwrap_or_default();
        let path = folder.join(format!("pass-{host}-{}-{}", std::process::id(), forwarded.port));
        // What another run may have left under that name is not written through.
        drop(fs::remove_file(&path));
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?.write_all(&line)?;
        Ok(Some(PassFile(path)))
    }
}

impl Drop for PassFile {
    fn drop(&mut self) {
        // A program that holds it open has read it already.
        drop(fs::remove_file(&self.0));
    }
}

/// Removes the passwords of pgdecks that were killed while a program had the terminal: nobody else did.
pub fn forget_left_over(folder: &Path) {
    let here = owner::host().unwrap_or_default();
    let is_over = |name: &str| {
        let mut parts = name.strip_prefix("pass-").unwrap_or_default().rsplitn(3, '-').skip(1);
        let (process, host) = (parts.next(), parts.next());
        // Who runs on another host cannot be told; an older pgdeck named none.
        process.is_some_and(|process| host.is_none_or(|host| *host == *here) && !owner::is_pgdeck(process))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_over) {
            // Another one may have been faster.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Hands the terminal over until the program ends; says how it ended. `folder` takes the password's file.
pub fn hand_over(runtime: &Runtime, folder: &Path, order: &Order) -> Result<String, Fault> {
    let (instance, shell) = shell(order).ok_or(Fault::Cancelled)?;
    match shell {
        Shell::Forward { port } => {
            let forwarded = runtime.forward(instance, *port)?;
            Ok(format!("127.0.0.1:{} leads to {}: {}", forwarded.port, instance.shown(), forwarded.dsn()))
        }
        Shell::Exec => {
            let PlaneId::Kubernetes(context) = &instance.cluster.plane else {
                return Err(Fault::Unsupported { what: order.title(), why: "plain hosts have no pods".into() });
            };
            let mut command = guest("kubectl");
            if let Some(path) = KUBECONFIG.get() {
                command.env("KUBECONFIG", path);
            }
            command.args(["--context", context, "-n", &instance.cluster.namespace, "exec", "-it", &instance.member]);
            command.args(["-c", "postgres", "--", "sh", "-c", "exec bash 2>/dev/null || exec sh"]);
            run("kubectl", command)
        }
        Shell::Psql { write } => {
            let forwarded = runtime.forward(instance, 0)?;
            let kept = PassFile::write(folder, &forwarded);
            let pass =
                kept.map_err(|error| Fault::Refused { what: "the password file".into(), why: error.to_string() })?;
            let mut command = guest("psql");
            command.envs(forwarded.variables());
            if let Some(pass) = &pass {
                command.env("PGPASSFILE", &pass.0);
            }
            if !write {
                command.env("PGOPTIONS", READ_ONLY);
            }
            run("psql", command)
        }
    }
}

/// A program that cannot be stopped by ctrl-z: nobody could bring it back.
fn guest(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TSTP; exec \"$@\"", program, program]);
    for name in ["PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGOPTIONS"] {
        command.env_remove(name);
    }
    command
}

fn run(name: &str, mut command: Command) -> Result<String, Fault> {
    let failed = |error: io::Error| Fault::Refused { what: name.into(), why: error.to_string() };
    // Whoever reads it has a terminal, or wants no such word on stdout.
    tell_terminal(&format!("pgdeck: {name}; leave it to come back"));
    HANDED_OVER.store(true, Ordering::SeqCst);
    let ended = wait(&mut command);
    HANDED_OVER.store(false, Ordering::SeqCst);
    let status = ended.map_err(failed)?;
    match (status.code(), status.signal()) {
        (Some(127), _) => {
            Err(Fault::Unsupported { what: name.into(), why: "there is no such program in PATH: install it".into() })
        }
        (Some(code), _) => Ok(format!("{name} ended with code {code}")),
        (None, signal) => Ok(format!("{name} was ended by signal {}", signal.unwrap_or_default())),
    }
}

fn tell_terminal(text: &str) {
    if io::stderr().is_terminal() {
        // Nobody needs it.
        drop(writeln!(io::stderr(), "{text}"));
    }
}

fn wait(command: &mut Command) -> io::Result<std::process::ExitStatus> {
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if ENDING.load(Ordering::SeqCst) {
            child.kill()?;
            return child.wait();
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_whose_pgdeck_is_gone_is_forgotten_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("pgdeck-pass-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // No process has that number: the kernel's greatest is 4,194,304.
        let here = format!("pass-{}-99999999-5432", owner::host().unwrap());
        for name in ["pass-99999999-5432", &here, "pass-some-other-99999999-5432", "journal.jsonl", "passage"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        forget_left_over(&folder);
        let left = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = left.collect();
        left.sort();
        assert_eq!(left, ["journal.jsonl", "pass-some-other-99999999-5432", "passage"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let fault = run("pgdeck-no-such", guest("pgdeck-no-such")).unwrap_err();
        assert!(fault.to_string().contains("install it"), "{fault}");
        assert_eq!(
            run("sh", {
                let mut command = guest("sh");
                command.args(["-c", "exit 3"]);
                command
            })
            .unwrap(),
            "sh ended with code 3"
        );
    }
}
