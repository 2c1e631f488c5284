//! The console: one loop that takes what happened, lets the brain think, and paints what changed.

mod glass;
mod input;

use std::io::{self, Stdout};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::shell;
use crate::app::{self, Effect, Model, Msg, Outcome};
use crate::id::Text;
use crate::run::{Event, Out};
use crate::runtime::mailbox::{Mailbox, Patience};
use crate::runtime::{Journal, Runtime, clock};
use crate::state::notice::Weight;
use crate::term::{self, Term};
use crate::work::order::{Order, Shell};
pub use glass::Colors;
use glass::Glass;
use input::Keys;

/// Data is painted at most this often; a key always at once.
const FRAME: Duration = Duration::from_millis(33);
/// Time alone changes the picture at most this often.
const COARSE: Duration = Duration::from_millis(200);
/// And what Patroni estimates, every ten seconds for each cluster, at most this often.
const ESTIMATES: Duration = Duration::from_secs(1);
/// At most this much data between two looks at the keys.
const DATA_AT_ONCE: usize = 200;
/// An end that was asked for from outside comes within this, even if the terminal takes no output.
const LAST_CALL: Duration = Duration::from_millis(700);
/// The same, where something is held that must be taken back first, or stays and must be told.
const LAST_CALL_OF_HELD: Duration = Duration::from_secs(5);
/// No answer is waited for any longer then: two looks, an order and its proof fit into it.
const HASTE: Duration = Duration::from_millis(1_500);

/// Runs the console until the user leaves or the terminal goes.
pub fn run(model: &mut Model, runtime: &mut Runtime, journal: &Journal, colors: Colors) -> io::Result<Outcome> {
    // crossterm's own NO_COLOR writes a reset for every color and loses bold with it; the glass leaves colors out instead.
    crossterm::style::force_color_output(true);
    let mailbox = runtime.mailbox().clone();
    // Signals are watched before the terminal is taken, so that it is given back whenever one comes.
    let signals = {
        let _within = runtime.enter();
        input::watch_signals(&mailbox)?
    };
    runtime.spawn(signals);
    let term = Term::take()?;
    let (keys, reading) = input::read_terminal(mailbox.clone());
    runtime.spawn(reading);
    let _hangup = input::HangupWatch::start(mailbox.clone())?;
    let glass = Glass::new(io::stdout(), input::size()?, colors);
    let (hidden, painted_at, painted, shown, wanted) = (false, None, None, (0, 0), None);
    Console { model, glass, term, keys, mailbox, hidden, painted_at, painted, shown, wanted }.run(runtime, journal)
}

struct Console<'a> {
    model: &'a mut Model,
    glass: Glass<Stdout>,
    term: Term,
    keys: Keys,
    mailbox: Mailbox,
    /// The terminal is not ours now: we are stopped or about to be, it is gone, or nobody waits for what it takes.
    hidden: bool,
    painted_at: Option<Instant>,
    painted: Option<(u64, u64)>,
    /// The news in that picture.
    shown: (u64, u64),
    wanted: Option<std::collections::BTreeSet<crate::work::want::Want>>,
}

impl Console<'_> {
    fn run(mut self, runtime: &Runtime, journal: &Journal) -> io::Result<Outcome> {
        let mailbox = runtime.mailbox();
        self.paint()?;
        self.want(runtime);
        let mut data_from = clock::instant();
        loop {
            let patience = Patience { data_from, until: Some(self.wake()), most: DATA_AT_ONCE };
            let batch = mailbox.take(patience);
            let (is_urgent, n_data) = (!batch.urgent.is_empty(), batch.data.len());
            if let Some(outcome) = self.think(batch.urgent, batch.data, (runtime, journal))? {
                return Ok(outcome);
            }
            let now = clock::instant();
            let has_more = n_data == DATA_AT_ONCE;
            let has_news = self.shown != self.model.news();
            let pace = if has_news { FRAME } else { ESTIMATES };
            let is_due = self.painted_at.is_none_or(|at| now >= at + pace);
            if (is_urgent || is_due || (has_news && !has_more)) && self.painted != Some(self.model.stamp()) {
                self.paint()?;
                self.want(runtime);
            }
            data_from = if has_more {
                now
            } else if n_data > 0 {
                now + FRAME
            } else {
                data_from
            };
        }
    }

    /// One step of the brain, and what it asks of the terminal.
    fn think(
        &mut self,
        urgent: Vec<Msg>,
        data: Vec<Msg>,
        (runtime, journal): (&Runtime, &Journal),
    ) -> io::Result<Option<Outcome>> {
        let mut sizes = urgent.iter().filter_map(|msg| if let Msg::Resized(size) = msg { Some(*size) } else { None });
        if let Some(size) = sizes.next_back() {
            self.glass.resize(size);
        }
        if urgent.iter().any(|msg| matches!(msg, Msg::Interrupt)) {
            end_by_force_soon(if self.has_more_to_do() { LAST_CALL_OF_HELD } else { LAST_CALL })?;
            runtime.gate().make_haste(HASTE);
            // A terminal that takes no output must not keep us from what is to be taken back.
            self.hidden = true;
        }
        let mut batch = urgent;
        batch.extend(data);
        if batch.is_empty() {
            batch.push(Msg::Tick);
        }
        for effect in app::update(self.model, clock::now(), batch) {
            match effect {
                Effect::Yank(text) => self.yank(&text)?,
                Effect::Repaint => self.retake()?,
                Effect::Suspend => {
                    self.hidden = true;
                    let suspended = self.term.suspend();
                    self.bear(suspended)?;
                }
                Effect::Run(run, outs) => self.step(&run, outs, runtime, journal)?,
                Effect::Ask(probes) => runtime.ask_for_brain(probes),
                Effect::Arm(scope, until) => runtime.gate().open(scope, until),
                Effect::Disarm(scope) => runtime.gate().close(&scope),
                Effect::Exit(outcome) => return Ok(Some(outcome)),
            }
        }
        Ok(None)
    }

    /// Puts a text on the terminal's clipboard, or says why not.
    fn yank(&mut self, text: &str) -> io::Result<()> {
        let in_tmux = std::env::var_os("TMUX").is_some();
        let yanked = self.glass.yank(text, in_tmux);
        if let Ok(Err(long)) = &yanked {
            let text = format!("{} bytes are too long for a terminal's clipboard: nothing was copied", long.bytes);
            self.mailbox.urge(Msg::Say(Weight::Warning, text));
        }
        self.bear(yanked.map(drop))
    }

    /// Does what a run asks for. What wants the terminal gets it here, and everything else waits.
    fn step(&mut self, run: &Text, outs: Vec<Out>, runtime: &Runtime, journal: &Journal) -> io::Result<()> {
        let (theirs, outs): (Vec<Out>, Vec<Out>) =
            outs.into_iter().partition(|out| matches!(out, Out::Send(order, _) if shell::shell(order).is_some()));
        let (last, outs): (Vec<Out>, Vec<Out>) =
            outs.into_iter().partition(|out| self.model.screen.leaving.is_some() && matches!(out, Out::Note(_)));
        // The last words are on disk before the end.
        for out in last {
            if let Out::Note(entry) = out
                && let Err(why) = journal.keep(entry)
            {
                tracing::error!("{why}");
            }
        }
        runtime.step(run.clone(), outs, journal);
        for out in theirs {
            let takes_terminal =
                matches!(&out, Out::Send(Order::Shell { shell, .. }, _) if !matches!(shell, Shell::Forward { .. }));
            if takes_terminal {
                self.keys.release();
                self.term.lend();
            }
            let folder = journal.path().parent().unwrap_or(std::path::Path::new("."));
            let event = runtime.handed_over(&out, |order| Some(shell::hand_over(runtime, folder, order)));
            if takes_terminal {
                self.retake()?;
                self.keys.take();
            }
            if let (false, Some(Event::Sent(Ok(said)))) = (takes_terminal, &event) {
                // A port was opened: the way there is what somebody wants to paste.
                let dsn = said.rsplit_once(": ").map_or(said.as_str(), |(_, dsn)| dsn).to_owned();
                self.yank(&dsn)?;
            }
            if let Some(event) = event {
                self.mailbox.urge(Msg::Run(run.clone(), Box::new(event)));
            }
        }
        Ok(())
    }

    /// Takes the terminal again after somebody else had it.
    fn retake(&mut self) -> io::Result<()> {
        let retaken = self.term.retake().and_then(|()| input::size());
        if let Ok(size) = &retaken {
            self.hidden = self.model.screen.is_ending();
            self.glass.resize(*size);
            self.painted = None;
        }
        self.bear(retaken.map(drop))
    }

    /// A terminal that fails ends the console, but not before what is held is taken back, and what was ordered has its end in the
    /// journal: no picture is needed for that.
    fn bear(&mut self, done: io::Result<()>) -> io::Result<()> {
        let Err(error) = done else { return Ok(()) };
        if !self.has_more_to_do() {
            return Err(error);
        }
        tracing::warn!(%error, "the terminal is gone; what is held is taken back");
        self.hidden = true;
        self.mailbox.urge(Msg::Interrupt);
        Ok(())
    }

    /// Whether something is to be taken back before the end, to be seen to its end, or to be told.
    fn has_more_to_do(&self) -> bool {
        let ledger = &self.model.state.ledger;
        ledger.under_way().next().is_some() || ledger.staying().next().is_some()
    }

    fn paint(&mut self) -> io::Result<()> {
        if self.hidden {
            return Ok(());
        }
        let now = clock::now();
        let painted = self.glass.paint(|area, buffer| app::draw(self.model, now, area, buffer));
        self.bear(painted.map(drop))?;
        (self.painted, self.shown) = (Some(self.model.stamp()), self.model.news());
        self.painted_at = Some(clock::instant());
        Ok(())
    }

    /// Tells the runtime what the picture needs, if that changed.
    fn want(&mut self, runtime: &Runtime) {
        let wanted = app::wants(self.model);
        if self.wanted.as_ref() != Some(&wanted) {
            runtime.want(wanted.clone());
            self.wanted = Some(wanted);
        }
    }

    /// When to come back though nothing happens; far away if nothing on screen depends on time.
    fn wake(&self) -> Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let now = clock::now();
        let until =
            |at| Duration::try_from(now.until(at).map_or(SignedDuration::ZERO, duration)).unwrap_or(Duration::ZERO);
        let wake = clock::instant() + self.model.next_wake(now).map_or(FAR, until).clamp(COARSE, FAR);
        // What was held back is painted in its turn.
        let is_held_back = !self.hidden && self.painted != Some(self.model.stamp());
        let turn = self.painted_at.map(|at| at + ESTIMATES).filter(|_| is_held_back);
        turn.map_or(wake, |turn| wake.min(turn))
    }
}

fn duration(span: jiff::Span) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::ZERO)
}

/// Ends the process shortly whatever happens: a terminal that takes no output would hold us for ever.
fn end_by_force_soon(within: Duration) -> io::Result<()> {
    let last_call = move || {
        std::thread::sleep(within);
        term::give_back_modes();
        std::process::exit(super::Exit::Interrupted.code());
    };
    std::thread::Builder::new().name("last-call".into()).spawn(last_call).map(drop)
}
