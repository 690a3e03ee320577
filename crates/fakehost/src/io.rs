//! The three streams of a fake command.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::{AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// SSH's number of the standard error stream (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// Nobody reads what a command writes any more; a real one would get SIGPIPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// The channel that a command's output goes to. Writing waits for the client's window.
pub(crate) struct Wire {
    pub(crate) channel: ChannelWriteHalf<Msg>,
    /// Cancelled when the client closes the channel or the connection ends.
    pub(crate) closed: CancellationToken,
    pub(crate) written: AtomicU64,
    /// Cuts the whole connection once this many bytes are written.
    pub(crate) cut_after: Option<(u64, CancellationToken)>,
}

impl Wire {
    async fn send(&self, bytes: Bytes, stderr: bool) -> Result<(), Broken> {
        let length = bytes.len() as u64;
        let sent = async {
            if stderr {
                self.channel.extended_data_bytes(STDERR, bytes).await
            } else {
                self.channel.data_bytes(bytes).await
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => return Err(Broken),
            sent = sent => sent.map_err(|_| Broken)?,
        }
        let written = self.written.fetch_add(length, Ordering::Relaxed) + length;
        match &self.cut_after {
            Some((limit, cut)) if written >= *limit => {
                cut.cancel();
                self.closed.cancelled().await;
                Err(Broken)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Where an output goes.
#[derive(Clone)]
pub(crate) enum Sink {
    Null,
    Out(Arc<Wire>),
    Err(Arc<Wire>),
    /// The next command of a pipeline; two outputs may share it.
    Pipe(Arc<Mutex<DuplexStream>>),
}

impl Sink {
    pub(crate) async fn write(&self, bytes: impl Into<Bytes>) -> Result<(), Broken> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Null => Ok(()),
            Self::Out(wire) => wire.send(bytes, false).await,
            Self::Err(wire) => wire.send(bytes, true).await,
            Self::Pipe(pipe) => pipe.lock().await.write_all(&bytes).await.map_err(|_| Broken),
        }
    }
}

/// What a command reads.
pub(crate) enum Source {
    Nothing,
    Pipe(BufReader<DuplexStream>),
}

/// The three streams.
pub(crate) struct Io {
    pub(crate) input: Source,
    pub(crate) output: Sink,
    pub(crate) errors: Sink,
}

impl Io {
    /// Writes to standard output.
    pub(crate) async fn out(&self, text: impl Into<Bytes>) -> Result<(), Broken> {
        self.output.write(text).await
    }

    /// Writes to standard error.
    pub(crate) async fn err(&self, text: impl Into<Bytes>) -> Result<(), Broken> {
        self.errors.write(text).await
    }
}
