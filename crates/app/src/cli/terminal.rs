//! The person at the terminal: asked on `/dev/tty`, whatever standard input and output are used for.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr,
};
use sshepherd_engine::Engine;
use sshepherd_engine::prompt::{Answers, Prompt, Prompter, Questions};
use sshepherd_model::Secret;
use tokio::sync::broadcast::error::RecvError;

use super::{out, progress};
use crate::answer;

/// Longest answer, in bytes with its line end. A terminal gives no longer line (4,096 on Linux).
const MAX_ANSWER: usize = 4096;
/// What the terminal sends for Ctrl-C.
const INTERRUPT: u8 = 3;
/// How long the end of a question that nobody waits for any more may hold up its asker; it takes microseconds.
const RESTORED: Duration = Duration::from_millis(500);

/// One conversation at a time.
#[derive(Default)]
pub(crate) struct Terminal {
    turn: tokio::sync::Mutex<()>,
}

/// Tells whoever reads standard error of log-ins that wait for a security key, and has the engine take what hosts ask to the
/// person at the terminal, if there is one.
pub(crate) fn attend(engine: &Engine) {
    let mut touches = engine.touches();
    tokio::spawn(async move {
        loop {
            match touches.recv().await {
                Ok(alias) => {
                    let _free = progress::aside();
                    out::say(&answer::touch(&alias));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    if there() {
        engine.prompt_with(Arc::new(Terminal::default()));
    }
}

/// Whether there is a terminal to ask at.
pub(crate) fn there() -> bool {
    open().is_ok()
}

fn open() -> io::Result<File> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    if isatty(&tty) { Ok(tty) } else { Err(io::ErrorKind::Unsupported.into()) }
}

impl Terminal {
    /// Shows `words`, then asks one thing after the other; `None` without a terminal, or when the person gives up (Ctrl-C,
    /// Ctrl-D). Dropped, it gives the terminal back as it was.
    pub(crate) async fn converse(&self, words: String, prompts: Vec<Prompt>) -> Answers {
        let _turn = self.turn.lock().await;
        let (watched, hold) = io::pipe().ok()?;
        let (done, ended) = channel::<()>();
        let asking = tokio::task::spawn_blocking(move || {
            let answers = ask(&words, &prompts, &watched);
            drop(done);
            answers
        });
        let _hold = Hold { pipe: Some(hold), ended };
        asking.await.ok()?
    }
}

impl Prompter for Terminal {
    fn ask(&self, questions: Questions) -> Pin<Box<dyn Future<Output = Answers> + Send + '_>> {
        let Questions { alias, username, instructions, prompts } = questions;
        let mut words = format!("{alias} asks {username}:");
        if !instructions.trim().is_empty() {
            words = format!("{words} {}", instructions.trim());
        }
        Box::pin(self.converse(words, prompts))
    }
}

/// Ends a conversation that nobody waits for any more, and waits until the terminal is as it was.
struct Hold {
    pipe: Option<PipeWriter>,
    ended: Receiver<()>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It always ends by hanging up, which is no error here.
        let _ = self.ended.recv_timeout(RESTORED);
    }
}

fn ask(words: &str, prompts: &[Prompt], watched: &PipeReader) -> Answers {
    let mut tty = open().ok()?;
    let _free = progress::aside();
    writeln!(tty, "{words}").ok()?;
    let mut answers = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        answers.push(answer(&tty, prompt, watched)?);
    }
    Some(answers)
}

/// One line as the person types it. Ctrl-C ends it rather than the process, which would leave the terminal changed.
fn answer(mut tty: &File, prompt: &Prompt, watched: &PipeReader) -> Option<Secret> {
    let before = tcgetattr(tty).ok()?;
    let mut asking = before.clone();
    asking.local_modes -= LocalModes::ISIG;
    asking.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
    if !prompt.echo {
        asking.local_modes -= LocalModes::ECHO;
        asking.local_modes |= LocalModes::ECHONL;
    }
    tcsetattr(tty, OptionalActions::Flush, &asking).ok()?;
    let _restore = Restore { tty, before };
    write!(tty, "{} ", prompt.text.trim_end()).and_then(|()| tty.flush()).ok()?;
    // Of full size from the start, so that no copy is left behind when it grows.
    let mut line = vec![0; MAX_ANSWER];
    let length = read(tty, &mut line, watched);
    line.truncate(length.unwrap_or(0));
    let secret = String::from_utf8(line).ok().map(Secret::new)?;
    let typed = secret.expose().strip_suffix('\n')?;
    Some(Secret::new(typed.to_owned()))
}

/// Waits for a line, or for nobody to want it any more.
fn read(mut tty: &File, line: &mut [u8], watched: &PipeReader) -> Option<usize> {
    let mut both = [PollFd::new(&tty, PollFlags::IN), PollFd::new(watched, PollFlags::IN)];
    loop {
        match poll(&mut both, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    let [_, given_up] = &both;
    if !given_up.revents().is_empty() {
        return None;
    }
    tty.read(line).ok()
}

/// Gives the terminal back as it was.
struct Restore<'a> {
    tty: &'a File,
    before: Termios,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // Nothing is left to do where that fails: the terminal is gone.
        let _ = tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}
