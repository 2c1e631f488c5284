//! The edge between the brain and the world: streams that follow what is wanted, and one inbox for all they tell.

pub mod clock;
pub mod forward;
pub mod interrupt;
pub mod mailbox;
mod outage;
pub mod perform;
pub mod planes;
#[cfg(feature = "sandbox")]
pub mod playground;
pub mod reconcile;
pub mod sampling;
pub mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::app::Msg;
use crate::fault::Fault;
use crate::id::{InstanceId, PlaneId, Text};
pub use crate::journal::{Journal, owner};
use crate::plane::Plane;
use crate::run::{CutOff, Event, Out, Outcome, Run};
use crate::state::ledger::{Scope, scope};
use crate::state::notice::Weight;
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};
use crate::work::want::Want;
use mailbox::Mailbox;
use perform::Gate;
use reconcile::{Change, Stream, Streams, Surveys, Wanted, due, reconcile};

/// Where clusters live, by name.
pub type Planes = BTreeMap<PlaneId, Arc<dyn Plane>>;

/// How long tasks may take to end at the end.
const FAREWELL: Duration = Duration::from_millis(300);

/// A command that is asked to end waits for no answer longer than this while more is to be taken back.
const HASTE: Duration = Duration::from_secs(10);

/// What was cut off is looked for so long before another order goes on, in seconds.
const SETTLED_WITHIN_S: u32 = 10;

/// How it begins to be said that the end of an order may stay open in the journal.
pub const NOT_KEPT: &str = "THE JOURNAL DOES NOT KEEP WHAT BECAME OF IT";

/// What a command hears while a run is driven.
#[derive(Debug)]
pub enum Heard<'a> {
    /// The run may have new lines.
    Run(&'a Run),
    /// What was cut off before it, and what came of that; what the journal cannot keep now.
    Beside(&'a str),
}

/// The world's side of pgdeck: two worker threads beside the loop, and everything that runs on them.
#[derive(Debug)]
pub struct Runtime {
    tokio: tokio::runtime::Runtime,
    planes: Arc<Planes>,
    mailbox: Mailbox,
    gate: Gate,
    /// Dropped at the end: the supervisor's named event.
    wants: watch::Sender<BTreeSet<Want>>,
    /// The head's own tasks; they end with the runtime.
    tasks: JoinSet<()>,
}

impl Runtime {
    /// Starts the threads; nothing is asked of any plane before something is wanted. At most `at_once` instances are
    /// sampled at the same time.
    pub fn start(planes: Planes, at_once: usize) -> io::Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("pgdeck-io")
            .enable_all()
            .build()?;
        let (planes, mailbox) = (Arc::new(planes), Mailbox::default());
        let (wants, wanted) = watch::channel(BTreeSet::new());
        let mut tasks = JoinSet::new();
        let supervisor = Supervisor {
            planes: planes.clone(),
            mailbox: mailbox.clone(),
            at_once,
            streams: Streams::default(),
            running: BTreeMap::new(),
            asked: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        tasks.spawn_on(supervisor.run(wanted), tokio.handle());
        Ok(Runtime { tokio, planes, mailbox, gate: Gate::default(), wants, tasks })
    }

    /// Says what is wanted from now on.
    pub fn want(&self, wanted: BTreeSet<Want>) {
        self.wants.send_replace(wanted);
    }

    /// Where everything arrives.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Lets signals and timers be made on this thread while the guard lives.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.tokio.enter()
    }

    /// Runs a task of the head until it ends or the runtime does.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, self.tokio.handle());
    }

    /// The planes' names.
    pub fn planes(&self) -> impl Iterator<Item = &PlaneId> {
        self.planes.keys()
    }

    /// Asks questions, some at a time, and waits for all answers, in the order of the questions.
    pub fn ask(&self, probes: Vec<Probe>) -> Vec<(Probe, Result<Answer, Fault>)> {
        self.tokio.block_on(perform::ask_all(&self.planes, probes))
    }

    /// Drives a run until it waits for the user or has ended: for commands that act and end. `tell` hears of every line, and of
    /// what is settled first. `hand_over` takes the orders that want the terminal. Gives whether a signal has ended what was held, or was to be.
    pub fn drive(
        &self,
        run: &mut Run,
        mut todo: Vec<Out>,
        journal: &Journal,
        hand_over: impl Fn(&Order) -> Option<Result<String, Fault>>,
        mut tell: impl FnMut(Heard<'_>),
    ) -> bool {
        let mut is_interrupted = false;
        // What is held is taken back before a signal ends us.
        let holds = run.deal.as_ref().is_some_and(|deal| deal.hold.is_some()) && run.is_under_way();
        let mut asked = if holds { self.tokio.block_on(async { interrupt::Asked::listen().ok() }) } else { None };
        while !todo.is_empty() {
            let mut next = Vec::new();
            for out in todo {
                if let Some(event) = self.handed_over(&out, &hand_over) {
                    next.extend(run.advance(clock::now(), event));
                    tell(Heard::Run(run));
                    continue;
                }
                let event = self.tokio.block_on(async {
                    let step = perform::step(&self.planes, &self.gate, journal, out.clone());
                    match &mut asked {
                        Some(signals) if run.may_come_back() && matches!(out, Out::Look { .. }) => tokio::select! {
                            event = step => event,
                            () = signals.next() => {
                                self.gate.make_haste(HASTE);
                                is_interrupted = true;
                                Some(Event::TakeBack("pgdeck was asked to end".into()))
                            }
                        },
                        _ => step.await,
                    }
                });
                match event {
                    Some(Event::CutOff(found)) => {
                        self.settle(*found, run.patience_s, journal, &mut |text| tell(Heard::Beside(text)));
                    }
                    Some(Event::Owed(why)) => tell(Heard::Beside(&format!("{NOT_KEPT}: {why}"))),
                    event => next.extend(event.map(|event| run.advance(clock::now(), event)).unwrap_or_default()),
                }
                tell(Heard::Run(run));
            }
            todo = next;
        }
        is_interrupted
    }

    /// Looks for the effect of what was cut off; not for long, since an emergency must not wait for it. What is not seen by then
    /// ends UNPROVEN, and the preflight names it.
    fn settle(&self, found: CutOff, patience_s: Option<u32>, journal: &Journal, tell: &mut dyn FnMut(&str)) {
        found.told.iter().for_each(|text| tell(text));
        for (mut run, outs) in found.runs {
            run.patience_s = Some(patience_s.map_or(SETTLED_WITHIN_S, |most| most.min(SETTLED_WITHIN_S)));
            self.drive(&mut run, outs, journal, |_| None, |_| ());
            let (word, last) = (run.outcome().map_or("", Outcome::word), run.lines.last());
            tell(&format!("{}: {word}: {}", run.action, last.map_or("", |line| &line.text)));
        }
    }

    /// What became of an order that wants the terminal; none if it is another one.
    pub fn handed_over(&self, out: &Out, hand_over: impl Fn(&Order) -> Option<Result<String, Fault>>) -> Option<Event> {
        let Out::Send(order @ Order::Shell { .. }, pass) = out else { return None };
        match self.gate.pass(order, pass) {
            Ok(()) => hand_over(order).map(Event::Sent),
            Err(barred) => Some(Event::Barred(barred.to_string())),
        }
    }

    /// Does what a run of the console asks for; what becomes of it arrives in the mailbox.
    pub fn step(&self, run: Text, outs: Vec<Out>, journal: &Journal) {
        let (planes, gate, journal, mailbox) =
            (self.planes.clone(), self.gate.clone(), journal.clone(), self.mailbox.clone());
        self.tokio.spawn(async move {
            let mut owes = false;
            for out in outs {
                if let Some(event) = perform::step(&planes, &gate, &journal, out).await {
                    owes |= matches!(event, Event::Owed(_));
                    mailbox.urge(Msg::Run(run.clone(), Box::new(event)));
                }
            }
            if owes && let Some(n) = perform::catch_up(&journal, Duration::MAX).await.filter(|n| *n > 0) {
                mailbox.urge(Msg::Say(
                    Weight::Warning,
                    format!("the journal can be written again, and has {n} line(s) that it lacked"),
                ));
            }
        });
    }

    /// Tries for so long to write what the journal could not take in; gives how many lines it has got, none if it takes none.
    pub fn catch_up(&self, journal: &Journal, within: Duration) -> Option<usize> {
        self.tokio.block_on(perform::catch_up(journal, within))
    }

    /// Asks questions of the brain's own, and tells it what was answered.
    pub fn ask_for_brain(&self, probes: Vec<Probe>) {
        let (planes, mailbox) = (self.planes.clone(), self.mailbox.clone());
        self.tokio.spawn(async move { mailbox.urge(Msg::Answered(perform::ask_all(&planes, probes).await)) });
    }

    /// Opens a port of this machine that leads to a member.
    pub fn forward(&self, instance: &InstanceId, port: u16) -> Result<forward::Forwarded, Fault> {
        let gone = || Fault::Gone { what: instance.to_string() };
        let plane = self.planes.get(&instance.cluster.plane).ok_or_else(gone)?.clone();
        self.tokio.block_on(forward::open(plane, instance.clone(), port))
    }

    /// Waits for a signal that asks us to end.
    pub fn wait_for_the_end(&self) {
        self.tokio.block_on(async {
            if let Ok(mut asked) = interrupt::Asked::listen() {
                asked.next().await;
            }
        });
    }

    /// Tries an order: everything but the change, where that can be.
    pub fn try_out(&self, order: Order) -> Result<String, Fault> {
        self.tokio.block_on(perform::try_out(&self.planes, order))
    }

    /// All that is armed on its own.
    pub fn scopes(&self) -> Vec<Scope> {
        let of = |plane: &Arc<dyn Plane>| match plane.listed() {
            Some(clusters) => clusters.iter().map(scope).collect(),
            None => vec![Text::from(plane.id().context())],
        };
        self.planes.values().flat_map(of).collect()
    }

    /// Clusters that the planes themselves know to be protected, by name.
    pub fn protected(&self) -> Vec<String> {
        self.planes.values().flat_map(|plane| plane.protected()).collect()
    }

    /// What may be changed.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Ends everything.
    pub fn stop(self) {
        drop(self.wants);
        drop(self.tasks);
        self.tokio.shutdown_timeout(FAREWELL);
    }
}

/// Opens and closes streams until nothing can be wanted any more.
struct Supervisor {
    planes: Arc<Planes>,
    mailbox: Mailbox,
    at_once: usize,
    streams: Streams,
    running: BTreeMap<Stream, Vec<AbortHandle>>,
    /// What each sampled instance is asked; its sampler watches.
    asked: BTreeMap<InstanceId, watch::Sender<Surveys>>,
    tasks: JoinSet<()>,
}

impl Supervisor {
    async fn run(mut self, mut wants: watch::Receiver<BTreeSet<Want>>) {
        let mut wanted = Wanted::of(&wants.borrow_and_update());
        loop {
            let now = clock::now();
            let changes = reconcile(&self.streams, &wanted, self.at_once, now);
            for change in changes {
                self.streams.apply(&change, now);
                self.carry_out(change);
            }
            let wait = due(&self.streams, self.at_once)
                .map(|at| Duration::try_from(at.duration_since(clock::now())).unwrap_or(Duration::ZERO));
            // All three are cancel-safe: a watch, a timer, and JoinSet::join_next.
            tokio::select! {
                changed = wants.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    wanted = Wanted::of(&wants.borrow_and_update());
                }
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
                Some(ended) = self.tasks.join_next() => self.note_end(ended),
            }
        }
        self.tasks.shutdown().await;
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Open(stream) => self.open(stream),
            Change::Close(stream) => self.close(&stream),
            Change::Yield(instance) => self.close(&Stream::Samples(instance)),
            Change::Ask(instance, surveys) => {
                if let Some(asked) = self.asked.get(&instance) {
                    asked.send_replace(surveys);
                }
            }
            Change::Await(_) | Change::Forget(_) | Change::Idle(_) | Change::Resume(_) => {}
        }
    }

    fn open(&mut self, stream: Stream) {
        let sink = self.mailbox.sink();
        let futures = match &stream {
            Stream::Samples(instance) => {
                let (asked, surveys) = watch::channel(self.streams.surveys(instance));
                self.asked.insert(instance.clone(), asked);
                let plane = self.planes.get(&instance.cluster.plane);
                plane.map(|plane| sampling::sample(plane, instance, surveys, sink)).into_iter().collect()
            }
            Stream::Plane(want) => {
                self.serving(want).map(|plane| plane.stream(want.clone(), sink.clone())).collect::<Vec<_>>()
            }
        };
        let handles = futures.into_iter().map(|future| self.tasks.spawn(future)).collect();
        self.running.insert(stream, handles);
    }

    /// The planes that a want is for.
    fn serving(&self, want: &Want) -> impl Iterator<Item = &Arc<dyn Plane>> {
        let of = want.plane().cloned();
        self.planes.iter().filter(move |(id, _)| of.as_ref().is_none_or(|of| of == *id)).map(|(_, plane)| plane)
    }

    fn close(&mut self, stream: &Stream) {
        self.running.remove(stream).into_iter().flatten().for_each(|handle| handle.abort());
        if let Stream::Samples(instance) = stream {
            self.asked.remove(instance);
        }
    }

    /// A stream that breaks takes nothing else with it, and is told.
    fn note_end(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            let text = "a background task of pgdeck broke; what it watched is not up to date any more: see pgdeck.log";
            self.mailbox.urge(Msg::Say(Weight::Error, text.into()));
        }
    }
}
