//! A container's output, written the way a kubelet does.

use std::path::Path;

use jiff::Timestamp;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};

/// Copies lines until the source ends; a line that cannot be written is lost, as on a full disk.
pub async fn copy(source: impl AsyncRead + Unpin, path: &Path) {
    let mut lines = BufReader::new(source);
    let mut line = Vec::new();
    while let Ok(n) = lines.read_until(b'\n', &mut line).await
        && n > 0
    {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if let Err(error) = append(path, Timestamp::now(), &line).await {
            tracing::warn!(path = %path.display(), %error, "a log line is lost");
        }
        line.clear();
    }
}

async fn append(path: &Path, now: Timestamp, line: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
    file.write_all(&formatted(now, line)).await?;
    file.flush().await
}

fn formatted(now: Timestamp, line: &[u8]) -> Vec<u8> {
    let mut out = format!("{now:.9} stdout F ").into_bytes();
    out.extend_from_slice(line);
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nine_digits_and_its_stream() {
        let line = formatted(Timestamp::from_second(0).unwrap(), b"hello");
        assert_eq!(line, b"1970-01-01T00:00:00.000000000Z stdout F hello\n");
    }
}
