//! One connection from its first byte to its drain.

use std::time::Duration;

use rmcp::ServiceExt;
use sshepherd_engine::Engine;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::server::{Loader, Server, Settings};

/// How long a client has to read its last answers, once nothing runs any more.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    // In this order: a call that is given up finds out by the first whether its client or the server did so.
    let (closing, silent) = (CancellationToken::new(), CancellationToken::new());
    let server = Server::new(engine.clone(), loader, settings, closing.clone());
    let tracker = server.tracker.clone();
    let (touches, told) = (engine.touches(), closing.clone());
    let telling = server.listeners.clone().follow_touches(touches);
    tracker.spawn(async move {
        let _ = told.run_until_cancelled(telling).await;
    });
    let (closes, hushed) = (closing.clone(), silent.clone());
    tracker.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {
                closes.cancel();
                hushed.cancel();
            }
            () = closes.cancelled() => {}
        }
    });
    let lines = Lines::new(reader, writer, closing.clone());
    // The calls under way need their commands stopped to answer, and the conversation needs their answers to end; a client that does
    // not read them keeps nobody from ending.
    let unread = async {
        closing.cancelled().await;
        engine.shutdown().await;
        tokio::time::sleep(LAST_ANSWERS).await;
        tracing::warn!("the client does not read its last answers");
    };
    let result = tokio::select! {
        biased;
        result = talk(server, lines, silent) => result,
        () = unread => Ok(()),
    };
    closing.cancel();
    tracker.close();
    engine.shutdown().await;
    let _ = tokio::time::timeout(LAST_ANSWERS, tracker.wait()).await;
    result
}

async fn talk<R, W>(
    server: Server,
    lines: Lines<R, W>,
    stop: CancellationToken,
) -> Result<(), String>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let running = match server.serve_with_ct(lines, stop).await {
        Ok(running) => running,
        // A client that went away before it said anything has not been wronged.
        Err(
            rmcp::service::ServerInitializeError::ConnectionClosed(_)
            | rmcp::service::ServerInitializeError::Cancelled,
        ) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    running.waiting().await.map(drop).map_err(|error| error.to_string())
}
