//! One session channel: takes a command, feeds it, signals it, and tells how it ended.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::io::{Io, Sink, Source, Wire};
use crate::launch::{self, Asked};
use crate::process::Process;
use crate::server::Shared;
use crate::{builtin, run, script};

/// Bytes of standard input that wait for a command that does not read: four times what the product sends at most,
/// so that signals behind the input are seen. Beyond it the connection stalls.
const INPUT_BYTES: usize = 1024 * 1024;

/// What a shell answers for a line it cannot parse.
const STATUS_SYNTAX: u32 = 2;
/// What a shell answers for a program that is not there.
const STATUS_NOT_FOUND: u32 = 127;
/// What a launched text answers when its channel ends before its input.
const STATUS_NO_INPUT: u32 = 1;
/// How long a signalled process may take to go; a fake one goes at once or never.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The open channels of one connection. A channel leaves before anybody can know that it is closed: when the
/// client's close is read, or just before ours is sent (russh then forgets the channel at once).
#[derive(Clone, Default)]
pub(crate) struct Seats(Arc<Mutex<HashSet<ChannelId>>>);

impl Seats {
    /// Held for one operation only, never over an await.
    fn lock(&self) -> MutexGuard<'_, HashSet<ChannelId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, channel: ChannelId) {
        self.lock().insert(channel);
    }

    pub(crate) fn free(&self, channel: ChannelId) {
        self.lock().remove(&channel);
    }

    pub(crate) fn taken(&self) -> usize {
        self.lock().len()
    }
}

/// What a command belongs to.
pub(crate) struct Surroundings {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Handle,
    pub(crate) seats: Seats,
    /// Cuts the connection.
    pub(crate) cut: CancellationToken,
}

/// How a command ended.
enum End {
    Status(u32),
    Signal(String),
}

/// Serves a channel until the client closes it or the connection ends. The command itself is a task of its own,
/// which outlives the channel as it would on a real host.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of russh's messages are of no concern to a command, and more may come"
)]
pub(crate) async fn serve(channel: Channel<Msg>, around: Surroundings) {
    let (shared, cut) = (Arc::clone(&around.shared), around.cut.clone());
    let (mut reader, writer) = channel.split();
    let Some(command) = first_command(&mut reader).await else { return };
    if shared.faults.has(Fault::StopInExec) || shared.faults.has(Fault::RefuseExec) {
        while reader.wait().await.is_some() {}
        return;
    }
    let closed = cut.child_token();
    let wire = Arc::new(Wire {
        channel: writer,
        closed: closed.clone(),
        written: AtomicU64::new(0),
        cut_after: shared.faults.cut_after().map(|bytes| (bytes, cut)),
    });
    let (mut input, feed) = tokio::io::duplex(INPUT_BYTES);
    let process = shared.machine.processes.start();
    let pid = process.pid();
    let job = job(around, command, feed, wire, process);
    shared.tracker.spawn(job);
    let machine = Arc::clone(&shared.machine);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                // A command that is over reads no more.
                let _ = input.write_all(&data).await;
            }
            ChannelMsg::Eof => {
                let _ = input.shutdown().await;
            }
            ChannelMsg::Signal { signal } => {
                machine.processes.signal(pid, signal_name(&signal));
            }
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    closed.cancel();
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of russh's messages are of no concern to a command, and more may come"
)]
async fn first_command(reader: &mut ChannelReadHalf) -> Option<String> {
    loop {
        match reader.wait().await? {
            ChannelMsg::Exec { command, .. } => {
                return Some(String::from_utf8_lossy(&command).into_owned());
            }
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// Runs the command to its end or until a signal, then tells the client.
async fn job(
    around: Surroundings,
    command: String,
    input: DuplexStream,
    wire: Arc<Wire>,
    mut process: Process,
) {
    let Surroundings { shared, handle, seats, .. } = around;
    let pid = process.pid();
    let end = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        signal = process.ended_by() => End::Signal(signal),
        status = execute(&shared, &command, pid, input, &wire) => End::Status(status),
    };
    // Gone before the client hears of it, so that a look afterwards never finds it.
    drop(process);
    if let Some((_, cut)) = &wire.cut_after {
        cut.cancel();
        return;
    }
    let told = async {
        if !shared.faults.has(Fault::NoExitStatus) {
            tell(&wire, &handle, end).await?;
        }
        wire.channel.eof().await.map_err(drop)?;
        seats.free(wire.channel.id());
        wire.channel.close().await.map_err(drop)
    };
    tokio::select! {
        () = wire.closed.cancelled() => {}
        told = told => {
            if told.is_err() {
                tracing::debug!("a fake command's end could not be told: the connection is gone");
            }
        }
    }
}

async fn tell(wire: &Wire, handle: &Handle, end: End) -> Result<(), ()> {
    match end {
        End::Status(status) => wire.channel.exit_status(status).await.map_err(drop),
        End::Signal(name) => {
            let id = wire.channel.id();
            handle
                .exit_signal_request(id, named_signal(&name), false, String::new(), String::new())
                .await
        }
    }
}

async fn execute(
    shared: &Arc<Shared>,
    text: &str,
    pid: u32,
    input: DuplexStream,
    wire: &Arc<Wire>,
) -> u32 {
    let errors = Sink::Err(Arc::clone(wire));
    let output = Sink::Out(Arc::clone(wire));
    let said = match launch::read(text) {
        Asked::Plain(command) => return command_line(shared, &command, input, wire).await,
        Asked::Marked { nonce, command, fed } => {
            let marker = format!("sshepherd-{nonce} {pid}\n");
            if errors.write(marker).await.is_err() {
                return run::STATUS_PIPE;
            }
            let mut input = input;
            if fed && !past_variables(&mut input, &nonce).await {
                return STATUS_NO_INPUT;
            }
            return command_line(shared, &command, input, wire).await;
        }
        Asked::Stop { orders } => output.write(stop(shared, &orders).await).await.map(|()| 0),
        Asked::Job { nonce } => {
            let refused = format!("sshepherd-{nonce} refused no folder for a job can be made\n");
            match output.write(format!("sshepherd-{nonce} start\n")).await {
                Ok(()) => errors.write(refused).await.map(|()| 1),
                Err(error) => Err(error),
            }
        }
        Asked::Shell => errors.write("sh: not found\n".to_owned()).await.map(|()| STATUS_NOT_FOUND),
    };
    said.unwrap_or(run::STATUS_PIPE)
}

/// Reads up to the end of the variables, which the built-in commands have no use for; whether it was there.
async fn past_variables(input: &mut DuplexStream, nonce: &str) -> bool {
    let mut line = Vec::new();
    while let Ok(byte) = input.read_u8().await {
        if byte != b'\n' {
            line.push(byte);
        } else if line == nonce.as_bytes() {
            return true;
        } else {
            line.clear();
        }
    }
    false
}

/// Ends processes as a stop on a real host does, and says what was seen.
async fn stop(shared: &Shared, orders: &[(String, u32)]) -> String {
    let processes = &shared.machine.processes;
    let mut left: Vec<&(String, u32)> = orders.iter().collect();
    let mut said = "sshepherd-stop begun\nsshepherd-stop looked\n".to_owned();
    for signal in ["TERM", "KILL"] {
        for (_, pid) in &left {
            processes.signal(*pid, signal);
        }
        let until = tokio::time::Instant::now() + STOP_PATIENCE;
        let mut still = Vec::new();
        for order in left {
            match tokio::time::timeout_at(until, processes.gone(order.1)).await {
                Ok(_) => said.push_str(&format!("sshepherd-stop {} gone\n", order.0)),
                Err(_) => still.push(order),
            }
        }
        left = still;
    }
    for (number, pid) in left {
        said.push_str(&format!("sshepherd-stop {number} left {pid}\n"));
    }
    said
}

async fn command_line(
    shared: &Arc<Shared>,
    command: &str,
    input: DuplexStream,
    wire: &Arc<Wire>,
) -> u32 {
    let errors = Sink::Err(Arc::clone(wire));
    if let Some(rate) = shared.faults.endless() {
        let io = Io { input: Source::Nothing, output: Sink::Out(Arc::clone(wire)), errors };
        return builtin::endless("endless", rate, &io).await.unwrap_or(run::STATUS_PIPE);
    }
    match script::parse(command) {
        Ok(script) => run::script(&shared.machine, script, input, wire).await,
        Err(problem) => match errors.write(format!("sh: {problem}\n")).await {
            Ok(()) => STATUS_SYNTAX,
            Err(_) => run::STATUS_PIPE,
        },
    }
}

/// The name without `SIG`, as the wire has it.
fn signal_name(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}

fn named_signal(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}
