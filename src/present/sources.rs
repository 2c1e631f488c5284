//! How a source stands, in a word, with the age of a state that should not last.

use jiff::Timestamp;

use super::page::Span;
use super::{Tone, format};
use crate::fault::Fault;
use crate::fleet::Standing;
use crate::fleet::seen::SourceState;

/// The word of a source's state.
pub fn state_word(standing: &Standing, now: Timestamp) -> Span {
    let aged = |word: &str, tone: Tone| {
        let age = format::age(now.duration_since(standing.since));
        Span { text: format!("{word} {age}").into(), tone }
    };
    let plain = |word: &'static str, tone: Tone| Span { text: word.into(), tone };
    match &standing.state {
        SourceState::Connecting => aged("connecting", Tone::Warn),
        SourceState::Live { polled: false } => plain("live", Tone::Good),
        SourceState::Live { polled: true } => plain("polled", Tone::Good),
        SourceState::Relisting => aged("relisting", Tone::Warn),
        SourceState::Lost { why: Fault::AuthExpired { .. } } => aged("AUTH EXPIRED", Tone::Bad),
        SourceState::Lost { .. } => aged("LOST", Tone::Bad),
        SourceState::Limited { .. } => plain("limited", Tone::Warn),
    }
}
