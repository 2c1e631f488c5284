//! Shells and ways in: psql to a member, a shell in its pod, its Postgres on a port of this machine.

use super::{
    ANY_ROLE, Arg, Confirm, NEVER_MOOT, NO_CONFLICT, Never, On, Operation, WHOEVER_LEADS, allowed, instance, may,
    may_forward,
};
use crate::fleet::cluster::Origin;
use crate::id::InstanceId;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Order, Shell};
use crate::work::probe::Probe;

const NO_API: Never =
    ("api_lost", "nothing is waited for: the program, or whoever uses the port, sees its connection break");
const NEVER: &[Never] = &[NO_CONFLICT, WHOEVER_LEADS, NO_API];
const NEVER_EXEC: &[Never] = &[
    (
        "happy",
        "the sandbox's API offers no terminal in a pod (kubectl exec -t): played on the real control plane alone",
    ),
    (
        "killed",
        "the sandbox's API offers no terminal in a pod (kubectl exec -t): a shell would end before pgdeck could be killed; psql, \
         which is handed over alike, stands for it",
    ),
    NO_CONFLICT,
    ANY_ROLE,
    NO_API,
];

pub(super) const PSQL: Operation = Operation {
    id: "psql",
    title: "psql",
    doc: "Opens psql on a member, or on whichever leads; `write`: with the whole right of the login, which takes arming.",
    keys: &["x q"],
    on: On::Any,
    confirm: Confirm::Yes,
    args: &[Arg {
        name: "mode",
        example: "read",
        doc: "read (transactions are read-only and the role is pg_monitor, by default, not by force) or write",
        required: false,
    }],
    proof: "psql has ended",
    undo: "nothing that pgdeck knows of: what was typed is not recorded",
    undoes: None,
    never: NEVER,
    stands_in: None,
    holds: false,
    aim: |_, aim| {
        mode(aim)?;
        Ok(std::iter::once(Probe::Reach(target(aim))).chain(may_forward(&aim.cluster)).collect())
    },
    consider: psql,
    moot: NEVER_MOOT,
};

pub(super) const EXEC: Operation = Operation {
    id: "exec",
    title: "shell in the pod",
    doc: "Opens a shell in the member's container.",
    keys: &["x e"],
    on: On::Member,
    confirm: Confirm::Yes,
    args: &[],
    proof: "the shell has ended",
    undo: "nothing that pgdeck knows of: what was typed is not recorded",
    undoes: None,
    never: NEVER_EXEC,
    stands_in: None,
    holds: false,
    aim: |entry, aim| match entry.cluster.origin {
        Origin::Hosts => Err("plain hosts have no pods: log in there by ssh".into()),
        Origin::Resource | Origin::Orphan => Ok(vec![may(&aim.cluster, "create", "", "pods/exec")]),
    },
    consider: exec,
    moot: NEVER_MOOT,
};

pub(super) const FORWARD: Operation = Operation {
    id: "forward",
    title: "forward to a local port",
    doc: "Gives the Postgres of a member, or of whichever leads, a port on this machine while pgdeck runs, and copies its DSN.",
    keys: &["x f"],
    on: On::Any,
    confirm: Confirm::Yes,
    args: &[Arg {
        name: "port",
        example: "15432",
        doc: "which one on 127.0.0.1; a free one by itself",
        required: false,
    }],
    proof: "the port is open",
    undo: "the end of pgdeck",
    undoes: None,
    never: NEVER,
    stands_in: None,
    holds: false,
    aim: |_, aim| {
        port(aim)?;
        Ok(std::iter::once(Probe::Reach(target(aim))).chain(may_forward(&aim.cluster)).collect())
    },
    consider: forward,
    moot: NEVER_MOOT,
};

fn target(aim: &Aim) -> InstanceId {
    aim.member.as_ref().map_or_else(|| InstanceId::whoever_leads(&aim.cluster), |member| instance(aim, member))
}

/// Whether everything may be written.
fn mode(aim: &Aim) -> Result<bool, String> {
    match aim.args.get("mode").map_or("read", |word| &**word) {
        "read" => Ok(false),
        "write" => Ok(true),
        other => Err(format!("{other:?} is neither read nor write")),
    }
}

fn port(aim: &Aim) -> Result<u16, String> {
    let text = aim.args.get("port").map_or("0", |text| &**text);
    text.parse().map_err(|_unreadable| format!("{text:?} is no port: write 1024 to 65535"))
}

/// That it can be reached at all, by the way that the shell will take.
fn reached(looked: &[Looked]) -> Result<Light, String> {
    let (version, primary, tls) = super::answers::reached(looked)?;
    let (role, how) = (if primary { "a primary" } else { "a standby" }, if tls { "by TLS" } else { "PLAINLY" });
    Ok(Light::green(format!("Postgres {}.{} answers {how}: {role}", version / 10_000, version % 10_000)))
}

fn opens(instance: InstanceId, shell: Shell, lights: Vec<Light>) -> Deal {
    let steps = vec![Step { order: Order::Shell { instance, shell }, expect: Expect::Over, within_s: 0 }];
    let undo = "nothing that pgdeck knows of".into();
    Deal { lights, steps, undo, downtime: "none by itself".into(), ..Deal::default() }
}

fn psql(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?, reached(looked)?];
    let write = mode(aim)?;
    lights.push(if write {
        Light::amber("with the whole right of the login: what is typed is done, and not recorded")
    } else {
        Light::green("read-only and as pg_monitor: a default, which SET and RESET ROLE undo")
    });
    Ok(opens(target(aim), Shell::Psql { write }, lights))
}

fn exec(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let lights =
        vec![allowed(looked)?, Light::amber("a shell can do anything to the member; what is typed is not recorded")];
    Ok(opens(target(aim), Shell::Exec, lights))
}

fn forward(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let lights = vec![allowed(looked)?, reached(looked)?];
    Ok(opens(target(aim), Shell::Forward { port: port(aim)? }, lights))
}
