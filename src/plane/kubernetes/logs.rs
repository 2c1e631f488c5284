//! A container's log, followed across restarts of the container, the pod and the connection.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;

use super::client::Server;
use super::watch::encode;
use crate::fault::Fault;
use crate::fleet::seen::{LogLine, Seen, Source, SourceState};
use crate::id::{InstanceId, Text};
use crate::plane::{Clock, Sink, backoff};

/// Lines of the past that are shown when a log is opened.
const TAIL: u32 = 500;
/// Lines of the container before it, which ended.
const TAIL_BEFORE: u32 = 200;
/// Lines that come together within this are handed over together.
const TOGETHER: Duration = Duration::from_millis(50);
/// At most so many at once.
const AT_ONCE: usize = 1_000;
/// A log that says nothing may do so: nothing is concluded from silence, only the connection is made anew now and then.
const SILENCE: Duration = Duration::from_secs(300);

/// A log as a source. Whoever stops following it, drops it, and it is forgotten.
struct Followed {
    source: Source,
    sink: Sink,
    clock: Clock,
}

impl Followed {
    fn say(&self, state: SourceState) {
        self.sink.send(Seen::Source { source: self.source.clone(), state, at: (self.clock)() });
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.sink.send(Seen::Closed(self.source.clone()));
    }
}

/// Follows until it is dropped. What the container before this one said last comes first: it tells why it ended.
pub async fn follow(server: Server, instance: InstanceId, container: Text, sink: Sink, clock: Clock) {
    let mut last: Option<Timestamp> = None;
    let mut attempt = 0;
    let source = Source::Log { instance: instance.clone(), container: container.clone() };
    let followed = Followed { source, sink: sink.clone(), clock: clock.clone() };
    let say = |state| followed.say(state);
    say(SourceState::Connecting);
    let log = format!(
        "/api/v1/namespaces/{}/pods/{}/log?container={}&timestamps=true",
        encode(&instance.cluster.namespace),
        encode(&instance.member),
        encode(&container)
    );
    // Refused where nothing ended yet; any other fault is said by the log that follows.
    if let Ok(lines) = server.lines(&format!("{log}&previous=true&tailLines={TAIL_BEFORE}")).await {
        let hand_over = |lines| {
            let (instance, container) = (instance.clone(), container.clone());
            sink.send(Seen::Log { instance, container, lines, dropped: 0 });
        };
        read(lines, &mut last, hand_over).await;
        last = None;
    }
    loop {
        let since = last.map_or_else(|| format!("tailLines={TAIL}"), |last| format!("sinceTime={last}"));
        let path = format!("{log}&follow=true&{since}");
        let why = match server.lines(&path).await {
            Ok(lines) => {
                say(SourceState::Live { polled: false });
                attempt = 0;
                let hand_over = |lines: Vec<LogLine>| {
                    let (instance, container) = (instance.clone(), container.clone());
                    sink.send(Seen::Log { instance, container, lines, dropped: 0 });
                };
                read(lines, &mut last, hand_over).await
            }
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            say(SourceState::Lost { why });
        }
        // An orderly end is a container or pod that ended: the next one is waited for.
        let spread = backoff::spread(&instance.member, clock().as_nanosecond());
        tokio::time::sleep(backoff::wait(attempt.min(3), spread)).await;
        attempt += 1;
    }
}

async fn read(
    lines: futures::stream::BoxStream<'static, Result<bytes::Bytes, Fault>>,
    last: &mut Option<Timestamp>,
    hand_over: impl Fn(Vec<LogLine>),
) -> Option<Fault> {
    let mut lines = lines.ready_chunks(AT_ONCE);
    // What was shown up to here comes again after a reconnection: `sinceTime` counts in whole seconds.
    let resumed = *last;
    loop {
        let Ok(Some(chunk)) = tokio::time::timeout(SILENCE, lines.next()).await else { return None };
        let mut taken = Vec::with_capacity(chunk.len());
        for line in chunk {
            match line {
                Ok(line) => {
                    let line = split(&String::from_utf8_lossy(&line));
                    if resumed.is_some() && line.at <= resumed {
                        continue;
                    }
                    *last = line.at.or(*last);
                    taken.push(line);
                }
                Err(fault) => {
                    hand_over(taken);
                    return Some(fault);
                }
            }
        }
        if !taken.is_empty() {
            hand_over(taken);
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

/// A line with its time before it, as `timestamps=true` gives it.
fn split(line: &str) -> LogLine {
    let line = line.trim_end_matches('\r');
    let parsed = line.split_once(' ').and_then(|(time, text)| Some((time.parse().ok()?, text)));
    match parsed {
        Some((at, text)) => LogLine { at: Some(at), text: Arc::from(text) },
        None => LogLine { at: None, text: Arc::from(line) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parted_from_its_time() {
        let line = split("2026-11-24T10:00:00.25Z INFO: no action");
        assert_eq!((line.at.unwrap().as_millisecond() % 1000, &*line.text), (250, "INFO: no action"));
        assert_eq!(split("unable to retrieve").at, None);
    }
}
