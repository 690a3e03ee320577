//! Runs a parsed command line with the built-in commands.

use std::sync::Arc;

use tokio::io::{BufReader, DuplexStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::builtin;
use crate::io::{Broken, Io, Sink, Source, Wire};
use crate::machine::Machine;
use crate::script::{Pipeline, Script, Simple, Target, When};

/// Bytes between two commands of a pipeline: what a Linux pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// What a shell answers for a command that was ended by SIGPIPE: 128 + 13.
pub(crate) const STATUS_PIPE: u32 = 141;

/// Runs the whole line and gives its exit status. Standard input goes to the first pipeline.
/// Dropping the future ends everything it runs.
pub(crate) async fn script(
    machine: &Arc<Machine>,
    script: Script,
    input: DuplexStream,
    wire: &Arc<Wire>,
) -> u32 {
    let mut status = 0;
    let mut input = Source::Pipe(BufReader::new(input));
    for (when, commands) in script {
        let due = match when {
            When::Always => true,
            When::Success => status == 0,
            When::Failure => status != 0,
        };
        if !due {
            continue;
        }
        if let [Simple { words, .. }] = commands.as_slice()
            && words.first().is_some_and(|word| word == "exit")
        {
            return words.get(1).and_then(|code| code.parse().ok()).unwrap_or(status);
        }
        status =
            pipeline(machine, commands, std::mem::replace(&mut input, Source::Nothing), wire).await;
    }
    status
}

/// Runs the commands at the same time; the last one's status counts.
async fn pipeline(
    machine: &Arc<Machine>,
    commands: Pipeline,
    first: Source,
    wire: &Arc<Wire>,
) -> u32 {
    let mut stages = JoinSet::new();
    let last = commands.len().saturating_sub(1);
    let mut input = first;
    for (index, command) in commands.into_iter().enumerate() {
        let (output, next) = if index == last {
            (Sink::Out(Arc::clone(wire)), Source::Nothing)
        } else {
            let (from, to) = tokio::io::duplex(PIPE_BYTES);
            (Sink::Pipe(Arc::new(Mutex::new(from))), Source::Pipe(BufReader::new(to)))
        };
        let io = connect(&command, std::mem::replace(&mut input, next), output, wire);
        let machine = Arc::clone(machine);
        stages.spawn(async move { (index, stage(&machine, command.words, io).await) });
    }
    let mut status = 0;
    while let Some(ended) = stages.join_next().await {
        if let Ok((index, code)) = ended
            && index == last
        {
            status = code;
        }
    }
    status
}

fn connect(command: &Simple, input: Source, output: Sink, wire: &Arc<Wire>) -> Io {
    let sink = |target| match target {
        Target::Out => output.clone(),
        Target::Err => Sink::Err(Arc::clone(wire)),
        Target::Null => Sink::Null,
    };
    Io {
        output: sink(command.out),
        errors: sink(command.err),
        input: if command.no_input { Source::Nothing } else { input },
    }
}

async fn stage(machine: &Machine, words: Vec<String>, mut io: Io) -> u32 {
    match builtin::run(machine, &words, &mut io).await {
        Ok(status) => status,
        Err(Broken) => STATUS_PIPE,
    }
}
