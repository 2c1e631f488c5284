//! What the user should know: a line that never hides an error.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// At most this many are kept.
const KEPT: usize = 200;
/// How long a notice that asks for nothing stays on the line.
const SHOWN: SignedDuration = SignedDuration::from_secs(8);

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    Info,
    Warning,
    /// Stays on the line until it is looked at.
    Error,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub at: Timestamp,
    pub weight: Weight,
    /// One line; outside text in it is cleaned when it is drawn.
    pub text: String,
    /// How often it was said.
    pub count: u32,
    pub seen: bool,
}

/// The notices of this session, oldest first.
#[derive(Debug, Default)]
pub struct Notices {
    kept: VecDeque<Notice>,
}

impl Notices {
    /// Says something. The same text said again counts up instead of scrolling others away.
    pub fn say(&mut self, at: Timestamp, weight: Weight, text: impl Into<String>) {
        let text = text.into();
        let again = self.kept.iter().position(|notice| notice.text == text);
        let count = again.and_then(|idx| self.kept.remove(idx)).map_or(0, |notice| notice.count) + 1;
        if self.kept.len() == KEPT {
            let idx = self.kept.iter().position(|notice| notice.seen || notice.weight < Weight::Error).unwrap_or(0);
            self.kept.remove(idx);
        }
        self.kept.push_back(Notice { at, weight, text, count, seen: false });
    }

    /// A question that needs no answer any more is one that was looked at.
    pub fn answered(&mut self, text: &str) {
        self.kept.iter_mut().filter(|notice| notice.text == text).for_each(|notice| notice.seen = true);
    }

    /// What the line shows now: the newest unseen error before anything else, else the newest that is not too old.
    pub fn line(&self, now: Timestamp) -> Option<&Notice> {
        let unseen = |notice: &&Notice| notice.weight == Weight::Error && !notice.seen;
        let young = |notice: &&Notice| now.duration_since(notice.at) < SHOWN && !notice.seen;
        self.kept.iter().rev().find(unseen).or_else(|| self.kept.iter().rev().find(young))
    }

    /// When the line will change by itself.
    pub fn fades(&self, now: Timestamp) -> Option<Timestamp> {
        self.line(now).filter(|notice| notice.weight < Weight::Error).map(|notice| notice.at + SHOWN)
    }

    /// How many errors nobody has looked at.
    pub fn unseen_errors(&self) -> usize {
        self.kept.iter().filter(|notice| notice.weight == Weight::Error && !notice.seen).count()
    }

    /// Marks all as looked at: their view is open.
    pub fn mark_seen(&mut self) {
        self.kept.iter_mut().for_each(|notice| notice.seen = true);
    }

    /// Newest first.
    pub fn all(&self) -> impl Iterator<Item = &Notice> {
        self.kept.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_error_stays_until_it_is_looked_at() {
        let mut notices = Notices::default();
        notices.say(at(0), Weight::Error, "the journal cannot be written");
        notices.say(at(1), Weight::Info, "copied");
        assert_eq!(notices.line(at(500)).unwrap().text, "the journal cannot be written");

        notices.mark_seen();
        assert_eq!(notices.line(at(500)), None);
    }

    #[test]
    fn a_question_that_is_answered_stands_no_longer() {
        let mut notices = Notices::default();
        notices.say(at(0), Weight::Error, "end it?");
        notices.answered("another?");
        assert_eq!(notices.unseen_errors(), 1);
        notices.answered("end it?");
        assert_eq!((notices.unseen_errors(), notices.line(at(1))), (0, None));
    }

    #[test]
    fn an_info_fades() {
        let mut notices = Notices::default();
        notices.say(at(0), Weight::Info, "copied");
        assert_eq!(notices.fades(at(1)), Some(at(8)));
        assert_eq!(notices.line(at(9)), None);
    }

    #[test]
    fn saying_it_again_counts() {
        let mut notices = Notices::default();
        notices.say(at(0), Weight::Info, "copied");
        notices.say(at(1), Weight::Info, "copied");
        assert_eq!(notices.all().map(|notice| notice.count).collect::<Vec<_>>(), [2]);
    }
}
