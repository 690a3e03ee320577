//! The stream under a connection, TCP, a tunnel or a program: sees the version line, acknowledges quickly, and can be cut from outside.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::pool::Tunnel;
use crate::proxy::{LastWords, ProxyStream};
use sshepherd_model::Phase;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many reads re-arm quick acknowledgement. The kernel leaves that mode by itself; key exchange, log-in and the
/// first exec take about this many reads (sshd 9.2: 85 → 39 ms for a cold connect and exec).
const QUICK_READS: u32 = 24;

/// Bytes read ahead: every packet of a short command, and little beside the largest ones (32 KiB), which are read past it.
const READ_AHEAD: usize = 1024;

/// Bytes after which a reader gives way to other connections, though there are more. The runtime would let it go on for some
/// 60 full packets, 2 MB, and commands on other hosts would wait for that as often as there are floods.
const TURN: usize = 64 * 1024;

/// Bytes kept of what comes before the version line: a busy sshd says why it hangs up in one short line.
const MAX_SAID: usize = 200;

/// How a version line begins (RFC 4253, 4.2).
const VERSION: &[u8] = b"SSH-";

/// How far a handshake has come.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// `Banner` until the version line, then `KeyExchange`, then `Auth`.
    pub(crate) phase: Phase,
    /// What came before the version line: printable ASCII, lines parted by one blank, at most 200 bytes.
    pub(crate) said: String,
    /// Bytes of the present line that agree with `SSH-`; `None` when the line is another.
    matched: Option<usize>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Banner, said: String::new(), matched: Some(0) }
    }

    /// Reads what comes before the version line and looks for it.
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.matched = match self.matched {
                _ if *byte == b'\n' => Some(0),
                Some(at) if VERSION.get(at) == Some(byte) => Some(at + 1),
                Some(_) | None => None,
            };
            if self.matched == Some(VERSION.len()) {
                self.phase = Phase::KeyExchange;
                return;
            }
            if self.said.len() < MAX_SAID {
                match byte {
                    b'\n' => self.said.push(' '),
                    b' '..=b'~' => self.said.push(char::from(*byte)),
                    _ => {}
                }
            }
        }
    }
}

/// Each side polls a future of its own: a future wakes only who polled it last.
type Cut = Pin<Box<WaitForCancellationFutureOwned>>;

fn is_cut(cut: &mut Cut, cx: &mut Context<'_>) -> io::Result<()> {
    match cut.as_mut().poll(cx) {
        Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        Poll::Pending => Ok(()),
    }
}

/// What carries a connection.
pub(crate) enum Carrier {
    /// A TCP connection of our own, and its place among them.
    Tcp { tcp: BufReader<TcpStream>, _place: OwnedSemaphorePermit },
    /// A channel through a jump host.
    Tunnel(Box<Tunnel>),
    /// A program.
    Program(Box<ProxyStream>),
}

/// Most bytes that a server may send before the log-in is over. A stock sshd takes 3 KB, certificates and the longest
/// banner that a person would read some tens; the library keeps some of what comes in queues without a bound.
pub(crate) const MAX_BEFORE_LOG_IN: u64 = 1024 * 1024;

/// What a stream has carried.
#[derive(Debug)]
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    /// Most bytes that may be read.
    most: AtomicU64,
    since: Instant,
    /// When something came last, in milliseconds after `since`.
    heard: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            most: AtomicU64::new(MAX_BEFORE_LOG_IN),
            since: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// The log-in is over: any number of bytes may come.
    pub(crate) fn logged_in(&self) {
        self.most.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether more came than may.
    pub(crate) fn is_over(&self) -> bool {
        self.read.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed)
    }

    /// Bytes carried in the direction that carried more.
    pub(crate) fn carried(&self) -> u64 {
        self.read.load(Ordering::Relaxed).max(self.written.load(Ordering::Relaxed))
    }

    /// How long nothing has come.
    pub(crate) fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(heard)
    }

    fn hear(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    fn add(count: &AtomicU64, bytes: usize) {
        count.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A stream that fails, both ways, once its token is cancelled, so that a stall leaves no task behind.
pub(crate) struct Wire {
    carrier: Carrier,
    read_cut: Cut,
    write_cut: Cut,
    progress: watch::Sender<Progress>,
    quick_reads: u32,
    meter: Arc<Meter>,
    /// Bytes read since the reader last had to wait.
    turn: usize,
}

impl Carrier {
    /// Over a TCP connection, and the place among all of them that it takes. The library asks for the length of each packet by itself (4 bytes), which would be a system call
    /// for each of the small ones that a command comes to.
    pub(crate) fn tcp(tcp: TcpStream, place: OwnedSemaphorePermit) -> Self {
        Self::Tcp { tcp: BufReader::with_capacity(READ_AHEAD, tcp), _place: place }
    }

    /// Whom to ask what went wrong, if a program carries the connection.
    pub(crate) fn last_words(&self) -> Option<LastWords> {
        match self {
            Self::Program(program) => Some(program.last_words()),
            Self::Tcp { .. } | Self::Tunnel(_) => None,
        }
    }
}

impl Wire {
    pub(crate) fn new(
        carrier: Carrier,
        cut: &CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Self {
        let watch = || Box::pin(cut.clone().cancelled_owned());
        let (read_cut, write_cut, meter) = (watch(), watch(), Arc::default());
        Self { carrier, read_cut, write_cut, progress, quick_reads: QUICK_READS, meter, turn: 0 }
    }

    /// Counts what this stream carries.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    fn acknowledge_quickly(&mut self) {
        if self.quick_reads == 0 {
            return;
        }
        self.quick_reads -= 1;
        #[cfg(target_os = "linux")]
        if let Carrier::Tcp { tcp, .. } = &self.carrier {
            // A lost optimisation is no error.
            let _ = socket2::SockRef::from(tcp.get_ref()).set_tcp_quickack(true);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        is_cut(&mut self.read_cut, cx)?;
        if self.turn >= TURN {
            // Woken at once, but behind all others that are ready.
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = match &mut self.carrier {
            Carrier::Tcp { tcp, .. } => Pin::new(tcp).poll_read(cx, buf),
            Carrier::Tunnel(tunnel) => Pin::new(tunnel).poll_read(cx, buf),
            Carrier::Program(program) => Pin::new(program).poll_read(cx, buf),
        };
        let new = buf.filled().get(before..).unwrap_or_default();
        Meter::add(&self.meter.read, new.len());
        self.turn = if read.is_pending() { 0 } else { self.turn.saturating_add(new.len()) };
        if self.meter.is_over() {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        if matches!(read, Poll::Ready(Ok(()))) && !new.is_empty() {
            self.acknowledge_quickly();
            self.meter.hear();
            self.progress.send_if_modified(|progress| {
                if progress.phase == Phase::Banner {
                    progress.read(new);
                }
                // Only once: later reads see another phase.
                progress.phase == Phase::KeyExchange && progress.matched.take().is_some()
            });
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        is_cut(&mut self.write_cut, cx)?;
        let written = match &mut self.carrier {
            Carrier::Tcp { tcp, .. } => Pin::new(tcp).poll_write(cx, buf),
            Carrier::Tunnel(tunnel) => Pin::new(tunnel).poll_write(cx, buf),
            Carrier::Program(program) => Pin::new(program).poll_write(cx, buf),
        };
        if let Poll::Ready(Ok(bytes)) = written {
            Meter::add(&self.meter.written, bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        is_cut(&mut self.write_cut, cx)?;
        match &mut self.carrier {
            Carrier::Tcp { tcp, .. } => Pin::new(tcp).poll_flush(cx),
            Carrier::Tunnel(tunnel) => Pin::new(tunnel).poll_flush(cx),
            Carrier::Program(program) => Pin::new(program).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tcp { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Carrier::Tunnel(tunnel) => Pin::new(tunnel).poll_shutdown(cx),
            Carrier::Program(program) => Pin::new(program).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn place() -> OwnedSemaphorePermit {
        Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[test]
    fn only_a_version_line_ends_the_banner() {
        for (said, phase, kept) in [
            ("SSH-2.0-x\r\n", Phase::KeyExchange, ""),
            ("Exceeded MaxStartups\r\n", Phase::Banner, "Exceeded MaxStartups "),
            ("hello\r\nSSH-2.0-x\r\n", Phase::KeyExchange, "hello SSH"),
            ("xSSH-2.0-x\r\n", Phase::Banner, "xSSH-2.0-x "),
            ("SS\nSSH-", Phase::KeyExchange, "SS SSH"),
        ] {
            for piece in [1, 100] {
                let mut progress = Progress::new();
                for bytes in said.as_bytes().chunks(piece) {
                    if progress.phase == Phase::Banner {
                        progress.read(bytes);
                    }
                }
                assert_eq!(progress.phase, phase, "{said:?}");
                assert!(
                    phase != Phase::Banner || progress.said == kept,
                    "{said:?}: {:?}",
                    progress.said
                );
            }
        }
    }

    /// More is there than may be given at once: it comes in turns, and all of it comes.
    #[tokio::test]
    async fn a_flood_gives_way_to_others_after_so_many_bytes() {
        const READ: usize = 32 * 1024;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        socket2::SockRef::from(&tcp).set_recv_buffer_size(8 * TURN).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(bytes) = peer.write(&[0; READ]) {
            sent += bytes;
        }
        assert!(sent > 2 * (TURN + READ), "the kernel holds {sent} bytes only");
        let (progress, _) = watch::channel(Progress::new());
        let mut wire = Wire::new(Carrier::tcp(tcp, place()), &CancellationToken::new(), progress);
        wire.meter().logged_in();
        let (mut taken, mut most) = (0, 0);
        let all = std::future::poll_fn(|cx| {
            let mut turn = 0;
            let mut block = [0; READ];
            while taken < sent {
                let mut buf = ReadBuf::new(&mut block);
                let read = Pin::new(&mut wire).poll_read(cx, &mut buf);
                turn += buf.filled().len();
                taken += buf.filled().len();
                most = most.max(turn);
                std::task::ready!(read).unwrap();
            }
            Poll::Ready(())
        });
        tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
        assert!(most < TURN + READ, "{most} bytes in one turn");
    }

    /// A reader and a writer wait in tasks of their own; one cut must wake both.
    #[tokio::test]
    async fn a_cut_ends_a_reader_and_a_writer_that_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_silent, _) = listener.accept().await.unwrap();
        let cut = CancellationToken::new();
        let (progress, _) = watch::channel(Progress::new());
        let (mut reader, mut writer) =
            tokio::io::split(Wire::new(Carrier::tcp(tcp, place()), &cut, progress));
        let reading = tokio::spawn(async move { reader.read_u8().await.unwrap_err().kind() });
        let (filled, mut full) = watch::channel(0_u32);
        let writing = tokio::spawn(async move {
            let block = vec![0; 1 << 20];
            loop {
                match writer.write(&block).await {
                    Ok(_) => filled.send_modify(|count| *count += 1),
                    Err(error) => return error.kind(),
                }
            }
        });
        // The peer reads nothing: soon no write succeeds any more.
        while tokio::time::timeout(Duration::from_millis(200), full.changed()).await.is_ok() {}
        cut.cancel();
        let both = async { (reading.await.unwrap(), writing.await.unwrap()) };
        let ended = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!(ended, (io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionAborted));
    }
}
