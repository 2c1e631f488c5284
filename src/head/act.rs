//! `pgdeck do`: one change, through the same machine as in the console; of one cluster or member, or of many clusters.

mod many;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::gathering::{Gathering, names};
use super::{Exit, complain, say, shell, usage};
use crate::cli::{Do, Report};
use crate::config::Config;
use crate::fault::Fault;
use crate::id::{ClusterId, Text};
use crate::operation::{Confirm, OPERATIONS, On, Operation, operation};
use crate::present;
use crate::run::{Aim, Deal, Event, Out, Outcome, Run};
use crate::runtime::settle::left_by;
use crate::runtime::{Heard, Journal, Runtime, clock};
use crate::state::ledger::{is_protected, scope};
use crate::work::entry::Colour;
use crate::work::order::{Order, Shell};
use crate::work::target::{Candidate, Meant, Target};
use report::{changes, colour, exit, finish, offer, shape};

/// How long sources may take to tell what there is.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it is tried to write down what became of an order.
const KEPT_WITHIN: Duration = Duration::from_secs(3);
/// How long the call may change something.
const ARMED: SignedDuration = SignedDuration::from_hours(24);

/// Lists all actions.
pub fn list(asked: &Do) -> Exit {
    if asked.output == Report::Json {
        let row = |operation: &Operation| {
            let args: Vec<Value> = operation
                .args
                .iter()
                .map(|arg| json!({"name": arg.name, "required": arg.required, "example": arg.example, "doc": arg.doc}))
                .collect();
            json!({"id": operation.id, "doc": operation.doc, "risk": operation.confirm.word(), "args": args,
                   "proof": operation.proof, "undo": operation.undo, "real": operation.stands_in.is_none(),
                   "why_not_real": operation.stands_in,
                   "n/a": operation.never.iter().copied().collect::<std::collections::BTreeMap<_, _>>()})
        };
        let rows: Vec<Value> = OPERATIONS.iter().map(row).collect();
        return say(&present::escaped(&format!("{:#}", Value::Array(rows))));
    }
    let width = OPERATIONS.iter().map(|operation| operation.usage().len()).max().unwrap_or(0);
    let row = |operation: &Operation| format!("{:<width$}  {}", operation.usage(), operation.doc);
    say(&OPERATIONS.iter().map(row).collect::<Vec<_>>().join("\n"))
}

/// Does it, and ends.
pub fn run(runtime: &Runtime, config: &Config, journal: &Journal, asked: &Do) -> Exit {
    let (action, target) = (asked.action.as_deref().unwrap_or_default(), asked.target.as_deref().unwrap_or_default());
    let Some(operation) = operation(action) else {
        let known: Vec<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
        return usage(&format!("there is no action {action:?}; there are {}", known.join(", ")));
    };
    let named = [("for", &asked.hold_for), ("max-lag", &asked.max_lag)];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    let words: Vec<String> = asked.args.iter().cloned().chain(named).collect();
    let args = match operation.read(&words) {
        Ok(args) => args,
        Err(why) => return usage(&why),
    };
    let call = Call { runtime, config, journal, operation, asked, args };
    let mut gathering = Gathering::new(runtime, PATIENCE);
    gathering.objects();
    let meant = match meant(&gathering, target) {
        Ok(meant) => meant,
        Err(why) => return usage(&why),
    };
    match &meant.iter().collect::<Vec<_>>()[..] {
        [one] => call.one(&gathering, one),
        _ => many::run(&call, &gathering, &meant, target),
    }
}

/// One call of `pgdeck do`.
struct Call<'a> {
    runtime: &'a Runtime,
    config: &'a Config,
    journal: &'a Journal,
    operation: &'static Operation,
    asked: &'a Do,
    args: BTreeMap<Text, Text>,
}

impl Call<'_> {
    fn one(&self, gathering: &Gathering<'_>, meant: &Meant) -> Exit {
        let member = match member(self.operation, meant) {
            Ok(member) => member,
            Err(why) => return usage(&why),
        };
        let run = match self.look(gathering, (&meant.cluster, member), 0) {
            Ok(run) => run,
            Err(why) => return refuse(&why),
        };
        let Some(deal) = run.deal.clone() else { return finish(&run, self.asked) };
        if let Some(why) = run.why_it_waits() {
            return refused(&run, &why, self.asked);
        }
        if self.asked.output == Report::Text {
            offer(self.operation, &run, &deal);
        }
        if self.asked.dry_run {
            return try_out(self.runtime, &run, &deal, self.asked);
        }
        match confirmed(self.config, self.operation, &run, &deal, self.asked, self.is_protected(&meant.cluster)) {
            Ok(how) => {
                let (run, is_interrupted) = self.send(run, how);
                let exit = finish(&run, self.asked);
                if is_interrupted && exit == Exit::Done { Exit::Interrupted } else { exit }
            }
            Err(why) => refused(&run, &why, self.asked),
        }
    }

    fn is_protected(&self, cluster: &ClusterId) -> bool {
        let marked = [&self.config.protected[..], &self.runtime.protected()].concat();
        is_protected(&marked, &scope(cluster))
    }

    /// Looks at what would be done to one of them, the `n`th; or why it does not apply.
    fn look(&self, gathering: &Gathering<'_>, of: (&ClusterId, Option<Text>), n: usize) -> Result<Run, String> {
        let (cluster, member) = of;
        let entry = gathering.fleet.get(cluster).ok_or("it is gone")?;
        let uid = entry.identity(member.as_ref());
        let (now, args) = (clock::now(), self.args.clone());
        let aim = Aim { cluster: cluster.clone(), uid, member, args, at: now, who: who() };
        let probes = (self.operation.aim)(entry, &aim)?;
        let moment = now.strftime("%Y%m%dT%H%M%S.%3f");
        let id: Text = format!("{moment}.{n}-{}", std::process::id()).into();
        let (mut run, mut todo) = Run::new(id, self.operation.id, aim, probes, self.operation.consider, now);
        run.patience_s = self.asked.timeout;
        run.leaves = self.operation.leaves(&run.aim.args);
        // What this journal's pgdecks have left is taken back though the journal takes no more.
        let (lines, _) = self.journal.read().unwrap_or_default();
        let lines: Vec<_> = lines.iter().collect();
        if let Some((left, is_open)) = left_by(&lines, self.operation, (cluster, run.aim.member.as_ref()), now) {
            self.runtime.gate().adopt(left.clone());
            (run.takes_back, run.settles) = (Some(left), is_open);
        }
        // What only shows changes nothing, the journal included.
        if !self.config.write || self.asked.dry_run {
            todo.retain(|out| !matches!(out, Out::Settle(_)));
        }
        self.runtime.drive(
            &mut run,
            todo,
            self.journal,
            |_| None,
            |heard| {
                if let Heard::Beside(text) = heard {
                    complain(&present::clean(text));
                }
            },
        );
        Ok(run)
    }

    /// Sends what was confirmed, and follows it to its end; tells whether a signal brought that about.
    fn send(&self, mut run: Run, how: String) -> (Run, bool) {
        let (runtime, asked) = (self.runtime, self.asked);
        runtime.gate().open(scope(&run.aim.cluster), clock::now() + ARMED);
        let mut told = run.lines.len();
        let confirmed = Event::Confirmed { how, who: who(), reason: asked.reason.clone() };
        let todo = run.advance(clock::now(), confirmed);
        let folder = self.journal.path().parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        let hand_over = |order: &Order| {
            let handed = shell::hand_over(runtime, &folder, order);
            // A port is there for as long as this call.
            if let (Ok(said), Order::Shell { shell: Shell::Forward { .. }, .. }) = (&handed, order) {
                complain(&format!("{}; ctrl-c ends it", present::clean(said)));
                runtime.wait_for_the_end();
            }
            Some(handed)
        };
        let is_interrupted = runtime.drive(&mut run, todo, self.journal, hand_over, |heard| match heard {
            Heard::Beside(text) => complain(&present::clean(text)),
            Heard::Run(run) => {
                if asked.output == Report::Text {
                    for line in run.lines.iter().skip(told) {
                        say(&present::clean(&line.text));
                    }
                }
                told = run.lines.len();
            }
        });
        // Nobody who was asked to end waits; what was never sent stands open nowhere.
        if !is_interrupted
            && run.outcome() != Some(Outcome::Refused)
            && runtime.catch_up(self.journal, KEPT_WITHIN).is_none()
        {
            complain("pgdeck: the next start looks for what became of it, and writes that down");
        }
        (run, is_interrupted)
    }
}

/// Says why what was looked at is not done.
fn refused(run: &Run, why: &str, asked: &Do) -> Exit {
    if asked.output == Report::Json {
        say(&present::escaped(&format!("{:#}", shape(run, Some(why)))));
    }
    refuse(why)
}

fn refuse(why: &str) -> Exit {
    complain(&format!("pgdeck: refused: {}", present::clean(why)));
    Exit::Refused
}

/// The cluster or member that is meant, or all that a pattern means.
fn meant(gathering: &Gathering<'_>, text: &str) -> Result<BTreeSet<Meant>, String> {
    let target = Target::parse(text).map_err(|error| error.to_string())?;
    let members: Vec<_> = gathering.fleet.clusters().map(|(id, entry)| (id, names(entry))).collect();
    let candidates: Vec<_> = members.iter().map(|(id, members)| Candidate { id, members }).collect();
    target.resolve(&candidates).map_err(|error| error.to_string())
}

/// The member that is meant; a member's name where the cluster is meant is one too much.
fn member(operation: &Operation, meant: &Meant) -> Result<Option<Text>, String> {
    match (operation.on, &meant.member) {
        (On::Cluster, Some(member)) => {
            Err(format!("{} is done to a whole cluster: name {} without {member}", operation.id, meant.cluster))
        }
        (On::Member | On::Backend, None) => {
            Err(format!("{} is done to one member: name it, as {}/MEMBER", operation.id, meant.cluster))
        }
        (_, member) => Ok(member.clone()),
    }
}

/// How it was confirmed; else why it was not.
fn confirmed(
    config: &Config,
    operation: &Operation,
    run: &Run,
    deal: &Deal,
    asked: &Do,
    protected: bool,
) -> Result<String, String> {
    let red: Vec<&str> =
        deal.lights.iter().filter(|light| light.colour == Colour::Red).map(|light| &*light.text).collect();
    let overridden = match &asked.overrides {
        Some(typed) if typed == &*run.aim.cluster.name && asked.reason.is_some() => true,
        Some(typed) if typed == &*run.aim.cluster.name => return Err("--override needs --reason TEXT".into()),
        Some(typed) => return Err(format!("--override {typed:?} is not its name")),
        None => false,
    };
    if !red.is_empty() && !overridden {
        let name = &run.aim.cluster.name;
        return Err(format!("{} (--override {name} --reason TEXT goes on all the same)", red.join("; ")));
    }
    if red.is_empty() && deal.is_look() {
        return Ok("nothing: it only looks".into());
    }
    if config.readonly {
        return Err("--readonly, or readonly in the configuration, allows no change".into());
    }
    if !config.write {
        return Err("nothing was changed: add --write to do it".into());
    }
    let name = &*run.aim.cluster.name;
    if overridden && !red.is_empty() {
        return Ok(format!("overridden by the name {name}: {}", red.join("; ")));
    }
    if deal.by_name || operation.confirm == Confirm::Name || protected {
        let because = if protected { "its context is protected" } else { "it cannot be taken back" };
        let typed = match &asked.confirm {
            Some(typed) => typed.clone(),
            None => ask(&format!("type the cluster's name to confirm ({because}): "))
                .ok_or_else(|| format!("it must be confirmed by --confirm {name}: {because}"))?,
        };
        return if typed == name { Ok(format!("the name {name}")) } else { Err(format!("{typed:?} is not its name")) };
    }
    if asked.yes {
        return Ok("--yes".into());
    }
    let answer = ask("do it? y or n: ").ok_or("it must be confirmed: add --yes")?;
    if answer == "y" { Ok("y".into()) } else { Err("it was not confirmed".into()) }
}

/// Asks at the terminal; none where there is none.
fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut line = String::new();
    write!(io::stderr(), "{question}").ok()?;
    io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

/// The user of the operating system.
pub fn who() -> Text {
    let named =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let uid = rustix::process::getuid().as_raw();
    named.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})")).into()
}

/// Tries what can be tried.
fn try_out(runtime: &Runtime, run: &Run, deal: &Deal, asked: &Do) -> Exit {
    let red: Vec<&str> =
        deal.lights.iter().filter(|light| light.colour == Colour::Red).map(|light| &*light.text).collect();
    if !red.is_empty() {
        return refuse(&red.join("; "));
    }
    let mut tried = Vec::new();
    for order in deal.steps.iter().map(|step| &step.order).filter(|order| order.is_of_objects()) {
        match runtime.try_out(order.clone()) {
            Ok(said) => {
                tried.push(format!("tried on the server: {}: taken ({said}), nothing was changed", order.title()));
            }
            Err(fault) => {
                complain(&format!("pgdeck: {}", present::clean(&format!("{fault}; {}", fault.remedy()))));
                let forbidden = matches!(fault, Fault::Forbidden { .. } | Fault::AuthExpired { .. });
                return if forbidden { Exit::Forbidden } else { Exit::Failed };
            }
        }
    }
    if tried.is_empty() {
        tried.push("nothing of it can be tried on a server; it was looked at, and nothing was changed".into());
    }
    match asked.output {
        Report::Text => say(&present::clean(&tried.join("\n"))),
        Report::Json => say(&present::escaped(&format!("{:#}", shape(run, Some(&tried.join("; ")))))),
    }
}
