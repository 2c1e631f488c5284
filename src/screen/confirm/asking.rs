//! What can be done to an offer before it is answered: other arguments, a reason, a try, a copy.

use crate::keymap::chord::Chord;
use crate::operation::operation;
use crate::present::Tone;
use crate::present::page::Line;
use crate::run::{Outcome, Phase, Run};
use crate::widget::input::Field;

/// Something that is typed for an offer.
#[derive(Debug)]
pub struct Asking {
    pub wanted: Wanted,
    pub field: Field,
    /// Why what was typed last cannot be taken.
    pub error: Option<String>,
}

/// What is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All arguments, as after `pgdeck do ACTION TARGET`.
    Arguments,
    /// Why it is done.
    Reason,
}

impl Asking {
    /// Asks for the arguments, as they are.
    pub fn arguments(run: &Run) -> Self {
        let args: Vec<String> = run.aim.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Asking { wanted: Wanted::Arguments, field: Field::new(&args.join(" "), &[]), error: None }
    }

    /// Asks for the reason.
    pub fn reason(given: Option<&str>) -> Self {
        Asking { wanted: Wanted::Reason, field: Field::new(given.unwrap_or_default(), &[]), error: None }
    }

    /// What stands before it.
    pub fn prompt(&self) -> &'static str {
        match self.wanted {
            Wanted::Arguments => "arguments: ",
            Wanted::Reason => "reason: ",
        }
    }

    /// What can be typed.
    pub fn lines(&self, run: &Run) -> Vec<Line<()>> {
        if self.wanted == Wanted::Reason {
            let text = "it goes to the journal and, where that may be written, to an Event on the CR";
            return vec![Line::blank(), Line::blank().with(text, Tone::Dim)];
        }
        let args = operation(run.action).map_or(&[][..], |operation| operation.args);
        let about = |arg: &crate::operation::Arg| {
            let example = format!("{}={}", arg.name, arg.example);
            Line::blank().with(format!("{example:<22} "), Tone::Key).outside(arg.doc, Tone::Dim)
        };
        std::iter::once(Line::blank()).chain(args.iter().map(about)).collect()
    }
}

/// What somebody wants of an offer, other than to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Arguments,
    Reason,
    /// Look at everything once more.
    Again,
    /// Try it on the server, which changes nothing.
    Try,
    Copy,
}

/// Each with its letter, its key where letters are typed, and its word.
const WISHES: &[(Wish, char, &str, &str)] = &[
    (Wish::Arguments, 'a', "tab", "arguments"),
    (Wish::Reason, 'r', "ctrl-r", "reason"),
    (Wish::Again, 'l', "ctrl-g", "look again"),
    (Wish::Try, 't', "ctrl-t", "try"),
    (Wish::Copy, 'c', "ctrl-y", "copy"),
];

impl Wish {
    /// What a key means. Where something is typed, letters are letters.
    pub fn of(chord: Chord, is_typed: bool) -> Option<Self> {
        let by_letter = |letter| !is_typed && chord.typed() == Some(letter);
        let by_key = |key: &str| key.parse() == Ok(chord);
        WISHES.iter().find(|(_, letter, key, _)| by_letter(*letter) || by_key(key)).map(|(wish, ..)| *wish)
    }

    /// Whether there is anything to do for it.
    pub fn applies(self, run: &Run) -> bool {
        let is_open = matches!(run.phase, Phase::Looking | Phase::Offered | Phase::Ended(Outcome::Refused));
        let mut steps = run.deal.iter().flat_map(|deal| &deal.steps);
        match self {
            Wish::Arguments => is_open && operation(run.action).is_some_and(|operation| !operation.args.is_empty()),
            Wish::Again => matches!(run.phase, Phase::Offered | Phase::Ended(Outcome::Refused)),
            Wish::Reason => run.phase == Phase::Offered,
            Wish::Try => run.phase == Phase::Offered && steps.any(|step| step.order.is_of_objects()),
            Wish::Copy => steps.next().is_some(),
        }
    }

    /// Why there is nothing to do for it.
    pub fn why_not(self, run: &Run) -> String {
        match self {
            Wish::Arguments if operation(run.action).is_some_and(|operation| operation.args.is_empty()) => {
                format!("{} takes no arguments", run.action)
            }
            Wish::Try if run.phase == Phase::Offered => "nothing of it can be tried on a server".into(),
            Wish::Copy => "there is no command to copy yet".into(),
            _ => "it is not on offer".into(),
        }
    }

    /// The keys that help now.
    pub fn hints(run: &Run, is_typed: bool) -> String {
        let row = |(_, letter, key, word): &(Wish, char, &str, &str)| {
            if is_typed { format!("{key} {word}") } else { format!("{letter} {word}") }
        };
        let apply = WISHES.iter().filter(|(wish, ..)| wish.applies(run));
        apply.map(row).collect::<Vec<_>>().join("  ")
    }
}
