//! Bad input, from files: each gives one clear message that names the thing, the place and what to do.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::postgres::{Installation, Server};

/// No command takes longer to say what is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// One file of `data/bad`. In its texts `{home}` is a folder of its own, and `{silent}`, `{closed}`, `{garbage}` are ports of
/// servers that accept and never answer, do not exist, and answer nonsense; `{ancient}` is one of a server that logs everyone
/// in and calls itself 9.6, since none that old can be had;
/// `{postgres}` is the port of a Postgres that wants the password of `watcher`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is wrong, for the reader.
    about: String,
    command: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    exit: i32,
    /// Each must be said, on stdout or stderr.
    thing: Vec<String>,
    place: Vec<String>,
    remedy: Vec<String>,
    /// None of these may be said.
    #[serde(default)]
    never: Vec<String>,
}

#[test]
fn every_bad_input_is_answered_with_thing_place_and_remedy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/bad");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the table has shrunk to {}", paths.len());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::primary(&Installation::own(), ""));
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let checks: Vec<_> = paths.iter().map(|path| scope.spawn(|| check(path, server.port))).collect();
        checks.into_iter().flat_map(|check| check.join().unwrap()).collect()
    });
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Runs one case; returns what is not as it should be.
fn check(path: &Path, postgres: u16) -> Vec<String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let case: Case = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stage = Stage::new(&name, postgres);
    for (file, text) in &case.files {
        let file = stage.home.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, stage.fill(text)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
    command.args(case.command.iter().map(|arg| stage.fill(arg)));
    command.env_clear().env("HOME", &stage.home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(case.vars.iter().map(|(name, value)| (name, stage.fill(value)))).current_dir(&stage.home);
    let Some((code, said)) = run(command) else {
        return vec![format!("{name}: {}: did not end within {PATIENCE:?}", case.about)];
    };
    let mut complaints = Vec::new();
    let mut complain = |what: String| complaints.push(format!("{name}: {}: {what}; it said:\n{said}", case.about));
    if code != Some(case.exit) {
        complain(format!("exit code {code:?} instead of {}", case.exit));
    }
    for part in
        case.thing.iter().chain(&case.place).chain(&case.remedy).filter(|part| !said.contains(&stage.fill(part)))
    {
        complain(format!("{part:?} is not said"));
    }
    for part in case.never.iter().filter(|part| said.contains(&stage.fill(part))) {
        complain(format!("{part:?} is said"));
    }
    if said.contains("panicked") || said.chars().any(|c| c.is_control() && c != '\n') {
        complain("a panic or a control character is said".into());
    }
    complaints
}

/// The exit code and everything that was said; none if it did not end.
fn run(mut command: Command) -> Option<(Option<i32>, String)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |pipe: &mut dyn Read| {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let errors = std::thread::spawn(move || read(&mut err));
    let output = std::thread::spawn(move || {
        let mut text = Vec::new();
        out.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let code = child.wait().unwrap().code();
    Some((code, output.join().unwrap() + &errors.join().unwrap()))
}

/// A folder and servers for one case.
struct Stage {
    home: PathBuf,
    silent: TcpListener,
    closed: u16,
    garbage: u16,
    ancient: u16,
    postgres: u16,
}

impl Stage {
    fn new(name: &str, postgres: u16) -> Self {
        let home = std::env::temp_dir().join(format!("pgdeck-bad-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        // Connections wait in its queue for ever: accepted by the system, answered by nobody.
        let silent = listen();
        let closed = port(&listen());
        let garbage = listen();
        let garbage_port = port(&garbage);
        std::thread::spawn(move || {
            for stream in garbage.incoming().map_while(Result::ok) {
                // Whoever asked may have left already.
                std::io::Write::write_all(&mut &stream, b"\x00\x1b]0;nonsense\x07\r\n\r\n").ok();
            }
        });
        let ancient = listen();
        let ancient_port = port(&ancient);
        std::thread::spawn(move || {
            // Whoever asked may have left already.
            ancient.incoming().map_while(Result::ok).for_each(|stream| drop(pretend_to_be_ancient(stream)));
        });
        Stage { home, silent, closed, garbage: garbage_port, ancient: ancient_port, postgres }
    }

    fn fill(&self, text: &str) -> String {
        let silent = self.silent.local_addr().unwrap().port();
        text.replace("{home}", &self.home.display().to_string())
            .replace("{silent}", &silent.to_string())
            .replace("{closed}", &self.closed.to_string())
            .replace("{garbage}", &self.garbage.to_string())
            .replace("{ancient}", &self.ancient.to_string())
            .replace("{postgres}", &self.postgres.to_string())
    }
}

/// The start of a session as Postgres 9.6 began it: it is let in, told the version, and may ask. Nothing is answered.
fn pretend_to_be_ancient(mut stream: TcpStream) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut startup = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4).min(10_000)];
    stream.read_exact(&mut startup)?;
    let message = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    };
    stream.write_all(&message(b'R', &[0; 4]))?;
    stream.write_all(&message(b'S', b"server_version\09.6.24\0"))?;
    stream.write_all(&message(b'K', &[0; 8]))?;
    stream.write_all(&message(b'Z', b"I"))?;
    // Open until the other side has enough.
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

impl Drop for Stage {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}
