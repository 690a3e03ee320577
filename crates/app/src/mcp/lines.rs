//! Messages as lines: each line that is a request, or that cannot be read, has one answer, and the conversation goes on.
//!
//! rmcp's own reader answers only what it can place: it passes over broken lines, forgets a last one without a newline, and
//! ends the conversation when something other than a request comes first. A client that waits for its answer then waits for ever.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::SinkExt;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, GetMeta, JsonRpcMessage,
    ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::sync::Mutex as Turn;
use tokio_util::codec::{BytesCodec, FramedWrite};
use tokio_util::sync::CancellationToken;

use super::line::{Line, Meant};

/// Whole lines only are put into it, so that an answer given up half-way is written on by whoever comes next.
type Written<W> = Arc<Turn<Option<FramedWrite<W, BytesCodec>>>>;

type Open = HashMap<RequestId, RequestId>;

/// A conversation over a reader and a writer.
pub(super) struct Lines<R, W> {
    reader: BufReader<R>,
    line: Line,
    written: Written<W>,
    /// What is to be answered before another line is read.
    answer: Option<Bytes>,
    flushed: bool,
    /// Requests that have no answer yet: the id that rmcp knows, and the one that the client gave.
    open: Arc<Mutex<Open>>,
    /// Requests so far that came with an id in use.
    doubles: u64,
    /// Whether a request has opened the conversation; rmcp takes nothing else before.
    begun: bool,
    /// Fires at the end of input, so that calls under way hear of it at once: rmcp itself tells them only after it has waited
    /// for their answers.
    ended: CancellationToken,
}

impl<R: AsyncRead, W: AsyncWrite> Lines<R, W> {
    pub(super) fn new(reader: R, writer: W, ended: CancellationToken) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: Line::default(),
            written: Arc::new(Turn::new(Some(FramedWrite::new(writer, BytesCodec::new())))),
            answer: None,
            flushed: true,
            open: Arc::default(),
            doubles: 0,
            begun: false,
            ended,
        }
    }
}

impl<R, W> Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// Reads to the end of a line; `false` at the end of input with nothing before it. May be given up at any point.
    async fn fill(&mut self) -> bool {
        loop {
            let Ok(ready) = self.reader.fill_buf().await else { return false };
            if ready.is_empty() {
                return self.line.begun();
            }
            let end = newline(ready);
            let taken = end.map_or(ready.len(), |end| end + 1);
            self.line.extend(ready.get(..end.unwrap_or(ready.len())).unwrap_or_default());
            self.reader.consume(taken);
            if end.is_some() {
                return true;
            }
        }
    }

    /// Writes the answer that waits, if one does. May be given up at any point.
    async fn write(&mut self) -> io::Result<()> {
        if self.answer.is_none() && self.flushed {
            return Ok(());
        }
        let mut written = self.written.lock().await;
        let sink = written.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        poll_fn(|context| SinkExt::<Bytes>::poll_ready_unpin(sink, context)).await?;
        if let Some(answer) = self.answer.take() {
            sink.start_send_unpin(answer)?;
            self.flushed = false;
        }
        SinkExt::<Bytes>::flush(sink).await?;
        self.flushed = true;
        Ok(())
    }

    /// A message as rmcp takes it; `None` for one that it must not have.
    fn admitted(&mut self, mut message: ClientJsonRpcMessage) -> Option<ClientJsonRpcMessage> {
        match &mut message {
            JsonRpcMessage::Request(asked) => {
                self.begun |= opens(&asked.request);
                asked.id = self.own_id(&asked.id);
            }
            JsonRpcMessage::Notification(said) => {
                if let ClientNotification::CancelledNotification(cancelled) = &said.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // Its answer may never come.
                    open(&self.open).remove(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        let early = !self.begun && !matches!(message, JsonRpcMessage::Request(_));
        (!early).then_some(message)
    }

    /// The id that rmcp knows a request by: of two with one id, it would answer only one.
    fn own_id(&mut self, given: &RequestId) -> RequestId {
        let mut open = open(&self.open);
        let mut own = given.clone();
        while open.contains_key(&own) {
            self.doubles += 1;
            own = RequestId::String(format!("sshepherd double {}", self.doubles).into());
        }
        open.insert(own.clone(), given.clone());
        own
    }
}

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let id = match &mut message {
            JsonRpcMessage::Response(answer) => Some(&mut answer.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        if let Some(id) = id
            && let Some(given) = open(&self.open).remove(id)
        {
            *id = given;
        }
        let written = Arc::clone(&self.written);
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut written = written.lock().await;
            let sink = written.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            sink.send(Bytes::from(line)).await
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let heard = self.write().await.is_ok();
            if !heard || !self.fill().await {
                self.ended.cancel();
                return None;
            }
            match self.line.read() {
                Meant::Nothing => {}
                Meant::Refused(refusal) => self.answer = Some(refusal.line()),
                Meant::Message(message) => match self.admitted(*message) {
                    None => {}
                    message => return message,
                },
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        drop(self.written.lock().await.take());
        Ok(())
    }
}

fn open(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Whether rmcp takes other messages after this request: `initialize`, or one that says itself which revision it speaks.
fn opens(request: &ClientRequest) -> bool {
    if matches!(request, ClientRequest::InitializeRequest(_)) {
        return true;
    }
    if matches!(request, ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)) {
        return false;
    }
    let meta = request.get_meta();
    let known = |version: ProtocolVersion| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
    meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(known)
}

#[cfg(test)]
mod tests;
