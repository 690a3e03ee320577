//! One connection from its first byte to its drain.

use std::pin::Pin;
use std::task::{Context, Poll};

use rmcp::ServiceExt;
use sshepherd_engine::Engine;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::server::{Loader, Server, Settings};

/// Speaks MCP on `reader` and `writer` until input ends or `stop` fires, then ends what runs and returns.
///
/// The end of input stops every running command at once, because the client that asked for them is gone; `Err` says why
/// the conversation did not begin.
pub(crate) async fn serve<R, W>(
    engine: Engine,
    loader: Loader,
    settings: Settings,
    (reader, writer): (R, W),
    stop: CancellationToken,
) -> Result<(), String>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let closing = stop.child_token();
    let server = Server::new(engine.clone(), loader, settings, closing.clone());
    let tracker = server.tracker.clone();
    let (touches, told) = (engine.touches(), closing.clone());
    let telling = server.listeners.clone().follow_touches(touches);
    tracker.spawn(async move {
        let _ = told.run_until_cancelled(telling).await;
    });
    let reader = UntilEnd { reader, ended: closing.clone() };
    let result = talk(server, reader, writer, stop, &engine).await;
    closing.cancel();
    tracker.close();
    engine.shutdown().await;
    tracker.wait().await;
    result
}

async fn talk<R, W>(
    server: Server,
    reader: UntilEnd<R>,
    writer: W,
    stop: CancellationToken,
    engine: &Engine,
) -> Result<(), String>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let closing = server.closing.clone();
    let running = match server.serve_with_ct((reader, writer), stop).await {
        Ok(running) => running,
        // A client that went away before it said anything has not been wronged.
        Err(
            rmcp::service::ServerInitializeError::ConnectionClosed(_)
            | rmcp::service::ServerInitializeError::Cancelled,
        ) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    // The calls under way need their commands stopped to answer, and the conversation needs their answers to end.
    let (ended, ()) = tokio::join!(running.waiting(), async {
        closing.cancelled().await;
        engine.shutdown().await;
    });
    ended.map(drop).map_err(|error| error.to_string())
}

/// A reader that fires a token when its input ends, so that calls under way hear of it at once: rmcp itself tells them only
/// after it has waited for their answers.
struct UntilEnd<R> {
    reader: R,
    ended: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilEnd<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(context, buffer);
        let ended = match &polled {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.ended.cancel();
        }
        polled
    }
}
