//! Signals that ask a command to end, while it holds something.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on; the signals end nobody meanwhile.
#[derive(Debug)]
pub struct Asked([Signal; 3]);

impl Asked {
    /// Must be called within the runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Asked([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// Waits for one. Cancel-safe: a signal that came while nobody waited is told by the next call.
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
