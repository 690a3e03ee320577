//! What goes into a channel once its shell has shown itself, and not before: anything else that reads there may take it
//! for commands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Why a command got no input.
pub(crate) const WITHHELD: &str = "the host has not shown that a POSIX shell reads what is sent, so the variables and \
     the standard input of the command were not sent; if it runs a forced command or is an appliance, set \
     `login_shell: raw-words`";

/// Bytes that wait for a shell.
pub(crate) struct Feed {
    writer: Arc<ChannelWriteHalf<Msg>>,
    bytes: Bytes,
    /// When nobody waits for the shell any more. Then the input is ended: a shell that comes later finds no end of its
    /// variables, and runs nothing.
    pub(crate) until: Instant,
}

impl Feed {
    pub(crate) fn new(
        writer: Arc<ChannelWriteHalf<Msg>>,
        bytes: Bytes,
        patience: Duration,
    ) -> Self {
        Self { writer, bytes, until: Instant::now() + patience }
    }

    /// Sends the bytes and the end of input, beside the reading: a command may write before it reads. The task belongs to
    /// the channel's owner, whose drop ends it.
    pub(crate) fn send(self) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            if self.writer.data_bytes(self.bytes).await.is_ok() {
                let _ = self.writer.eof().await;
            }
        }))
    }

    /// Sends the end of input alone.
    pub(crate) fn withhold(self) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = self.writer.eof().await;
        }))
    }
}
