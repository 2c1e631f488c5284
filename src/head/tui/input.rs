//! What the terminal and the system tell: keys, pastes, sizes, signals, and that nobody is there any more.

use std::io::{self, PipeWriter};
use std::sync::atomic::Ordering;
use std::thread;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::{FutureExt, StreamExt};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::{Msg, Size};
use crate::head::shell;
use crate::keymap::chord::{Chord, Code};
use crate::runtime::mailbox::Mailbox;

/// Lets the terminal's keys be read, or by somebody else for a while.
#[derive(Debug)]
pub struct Keys {
    wanted: watch::Sender<bool>,
    read: std::sync::mpsc::Receiver<()>,
}

impl Keys {
    /// No key is read any more when this returns.
    pub fn release(&self) {
        self.wanted.send_replace(false);
        // The reader may have ended with its terminal: then nobody reads either.
        let _ = self.read.recv_timeout(std::time::Duration::from_secs(1));
    }

    /// Keys are read again.
    pub fn take(&self) {
        self.wanted.send_replace(true);
    }
}

/// Hands over keys and pastes until the terminal ends.
pub fn read_terminal(mailbox: Mailbox) -> (Keys, impl Future<Output = ()> + Send + 'static) {
    let (wanted, mut asked) = watch::channel(true);
    let (left, read) = std::sync::mpsc::channel();
    let reading = async move {
        loop {
            let mut events = EventStream::new();
            loop {
                // Both are cancel-safe: a stream, and a watch.
                tokio::select! {
                    event = events.next() => match event {
                        Some(Ok(event)) => self::read(event).into_iter().for_each(|msg| mailbox.urge(msg)),
                        _ => return mailbox.urge(Msg::Interrupt),
                    },
                    changed = asked.changed() => {
                        if changed.is_err() || !*asked.borrow() {
                            break;
                        }
                    }
                }
            }
            drop(events);
            // Who waits for it may have given up.
            let _ = left.send(());
            if asked.wait_for(|wanted| *wanted).await.is_err() {
                return;
            }
        }
    };
    (Keys { wanted, read }, reading)
}

/// Watches for the terminal's hang-up, which the event stream does not tell. Dropping it ends the watch.
#[derive(Debug)]
pub struct HangupWatch {
    _ends: PipeWriter,
}

impl HangupWatch {
    /// Starts a thread that sleeps until the terminal hangs up; keys do not wake it.
    pub fn start(mailbox: Mailbox) -> io::Result<Self> {
        let (end, ends) = io::pipe()?;
        let watch = move || {
            let terminal = io::stdin();
            let mut watched = [PollFd::new(&terminal, PollFlags::empty()), PollFd::new(&end, PollFlags::IN)];
            loop {
                match poll(&mut watched, None) {
                    Ok(_) if !watched[1].revents().is_empty() => return,
                    Ok(_) if !watched[0].revents().is_empty() => break,
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a hang-up of the terminal will be noticed by SIGHUP alone");
                        return;
                    }
                }
            }
            mailbox.urge(Msg::Interrupt);
        };
        thread::Builder::new().name("hang-up".into()).spawn(watch)?;
        Ok(HangupWatch { _ends: ends })
    }
}

/// What a signal tells.
type Tell = fn() -> Option<Msg>;

/// Catches signals from now on; the future turns them into messages for as long as it is polled.
pub fn watch_signals(mailbox: &Mailbox) -> io::Result<impl Future<Output = ()> + use<>> {
    // Sizes too: the event stream catches them only from its first key on, and one between would be lost.
    let told: [(SignalKind, Tell); 6] = [
        (SignalKind::terminate(), || Some(ending())),
        (SignalKind::hangup(), || Some(ending())),
        (SignalKind::interrupt(), || unless_handed_over(Msg::Interrupt)),
        (SignalKind::from_raw(Signal::TSTP.as_raw()), || unless_handed_over(Msg::Suspend)),
        (SignalKind::from_raw(Signal::CONT.as_raw()), || Some(Msg::Redraw)),
        (SignalKind::window_change(), || size().ok().map(Msg::Resized)),
    ];
    let watch = |(kind, tell): (SignalKind, Tell)| {
        let (mut signals, mailbox) = (signal(kind)?, mailbox.clone());
        Ok(async move {
            while signals.recv().await.is_some() {
                if let Some(msg) = tell() {
                    mailbox.urge(msg);
                }
            }
        })
    };
    let watches = told.into_iter().map(watch).collect::<io::Result<Vec<_>>>()?;
    Ok(futures::future::join_all(watches).map(drop))
}

fn ending() -> Msg {
    shell::ENDING.store(true, Ordering::SeqCst);
    Msg::Interrupt
}

/// A key that raises a signal is for the program that has the terminal.
fn unless_handed_over(msg: Msg) -> Option<Msg> {
    (!shell::HANDED_OVER.load(Ordering::SeqCst)).then_some(msg)
}

/// The terminal's size now.
pub fn size() -> io::Result<Size> {
    crossterm::terminal::size().map(|(columns, rows)| Size { columns, rows })
}

fn read(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => chord(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        // The signal has told it already.
        Event::Resize(..) | Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

fn chord(key: KeyEvent) -> Option<Chord> {
    let code = match key.code {
        KeyCode::Char(c) => Code::Char(c),
        KeyCode::Null => Code::Char(' '),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab | KeyCode::BackTab => Code::Tab,
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Delete => Code::Delete,
        KeyCode::Insert => Code::Insert,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::F(n) => Code::F(n),
        _ => return None,
    };
    let held = |modifier| key.modifiers.contains(modifier);
    let is_char = matches!(code, Code::Char(_));
    Some(Chord {
        code,
        ctrl: held(KeyModifiers::CONTROL) || key.code == KeyCode::Null,
        alt: held(KeyModifiers::ALT),
        shift: key.code == KeyCode::BackTab || (held(KeyModifiers::SHIFT) && !is_char),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_as_they_are_written() {
        for (code, modifiers, written) in [
            (KeyCode::Char('j'), KeyModifiers::NONE, "j"),
            (KeyCode::Char('G'), KeyModifiers::SHIFT, "G"),
            (KeyCode::Char('d'), KeyModifiers::CONTROL, "ctrl-d"),
            (KeyCode::BackTab, KeyModifiers::SHIFT, "shift-tab"),
            (KeyCode::Char('x'), KeyModifiers::ALT, "alt-x"),
            (KeyCode::F(5), KeyModifiers::NONE, "f5"),
            (KeyCode::Up, KeyModifiers::SHIFT, "shift-up"),
        ] {
            assert_eq!(chord(KeyEvent::new(code, modifiers)), written.parse().ok(), "{written}");
        }
    }
}
