//! What goes into a shell: input, secrets, signals, its size, its end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{InvalidField, ShellId};
use sshepherd_policy::TypedSecret;
use sshepherd_ssh::{Echo, Size};
use sshepherd_terminal::keys;

use super::open::GREETED;
use super::read::{ReadShell, ShellOutput};
use super::session::Session;
use super::{ShellEnded, ShellInfo, ShellRefusal, audit};
use crate::engine::Engine;
use crate::pipeline::Origin;

/// How long a program may leave its input unread before that is an answer.
const TAKEN: Duration = Duration::from_secs(10);

/// How long a shell that is closed may take to end: the stop script, which may take half of it on a busy host, and the end of
/// the terminal.
const CLOSED: Duration = Duration::from_secs(30);

/// Signals that a terminal's program may be sent, without `SIG`.
const SIGNALS: [&str; 11] =
    ["HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2", "CONT", "STOP", "TSTP", "WINCH"];

/// What to type, in this order.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Characters; a newline is the Enter key.
    pub text: String,
    /// A text that is pasted: programs that know bracketed paste take it as one.
    pub paste: String,
    /// Keys by name.
    pub keys: Vec<String>,
}

impl Engine {
    /// Types, then waits and reads where `read` says so.
    pub async fn type_into_shell(
        &self,
        id: &ShellId,
        input: &Input,
        read: &ReadShell,
        origin: &Origin,
    ) -> Result<ShellOutput, ShellRefusal> {
        let session = self.session(id).await?;
        let since = {
            // Let go before the wait: a key must get through while another call waits for what its own input brings.
            let _turn = session.typing.lock().await;
            session.ready().await?;
            let (bytes, since) = {
                let state = session.state();
                (encoded(input, &state)?, state.scrollback.end())
            };
            if !bytes.is_empty() {
                session.admit(bytes.len() as u64)?;
                audit::input(self, &session, &bytes, origin)?;
                session.send(bytes).await?;
            }
            since
        };
        Ok(session.read(read, since).await)
    }

    /// Types a secret of the owner's, if the rule that opened the shell names it, the screen asks for it as the rule says,
    /// and what is typed is not shown. These checks are against mistakes: another reader of the terminal gets it all the
    /// same, and the account itself answers them.
    pub async fn type_secret(
        &self,
        id: &ShellId,
        name: &str,
        read: &ReadShell,
        origin: &Origin,
    ) -> Result<ShellOutput, ShellRefusal> {
        let session = self.session(id).await?;
        let held = |why: &str| ShellRefusal::SecretHeld(name.to_owned(), why.to_owned());
        let config = self.config();
        if session.secrets(name).next().is_none() {
            return Err(held("the rule that opened this shell does not name it"));
        }
        let value = config.typed_secrets.get(name);
        let value = value.ok_or_else(|| {
            held("it has no value in the configuration; tell the owner to run sshepherd check")
        })?;
        let turn = session.typing.lock().await;
        session.ready().await?;
        let (asked, seen) = session.asked(name).ok_or_else(|| {
            held("the line with the cursor does not match the prompt that the rule gives for it; look with ssh_read_screen")
        })?;
        let keyboard = session.keyboard().ok_or_else(|| session.gone())?;
        hidden(keyboard.echo().await).map_err(held)?;
        if let Some(program) = &asked.program {
            let foreground = keyboard.foreground().await;
            if foreground != Some(("root".to_owned(), program.clone())) {
                return Err(held(&format!("it is not {program}, running as root, that asks")));
            }
        }
        if session.asked(name).map(|(_, seen)| seen) != Some(seen) {
            return Err(held("the screen has changed meanwhile"));
        }
        let since = session.state().scrollback.end();
        let mut bytes = value.expose().as_bytes().to_vec();
        bytes.push(b'\r');
        session.admit(bytes.len() as u64)?;
        audit::secret(self, &session, name, origin)?;
        session.send(bytes).await?;
        drop(turn);
        Ok(session.read(read, since).await)
    }

    /// Tells the program that its window has another size.
    pub async fn resize_shell(&self, id: &ShellId, size: Size) -> Result<ShellInfo, ShellRefusal> {
        let session = self.session(id).await?;
        let keyboard = session.keyboard().ok_or_else(|| session.gone())?;
        keyboard.resize(size).await.map_err(|_| session.gone())?;
        session.state().emulator.resize(size.cols, size.rows);
        session.note(|record| (record.cols, record.rows) = (size.cols, size.rows));
        if let Some(tape) = session.tape().as_mut() {
            tape.resized(size.cols, size.rows);
        }
        Ok(session.info())
    }

    /// Sends a signal to what runs in the foreground.
    pub async fn signal_shell(
        &self,
        id: &ShellId,
        name: &str,
        origin: &Origin,
    ) -> Result<ShellInfo, ShellRefusal> {
        let upper = name.trim().to_ascii_uppercase();
        let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
        let Some(known) = SIGNALS.iter().find(|known| **known == plain) else {
            let problem = format!("{name:?} is none of {}", SIGNALS.join(", "));
            return Err(InvalidField::new("signal", problem).into());
        };
        let session = self.session(id).await?;
        let keyboard = session.keyboard().ok_or_else(|| session.gone())?;
        audit::signal(self, &session, known, origin)?;
        if keyboard.signal(known).await {
            Ok(session.info())
        } else {
            Err(ShellRefusal::NotSignalled)
        }
    }

    /// Ends a shell and everything that was started in it; how it ended.
    pub async fn close_shell(
        &self,
        id: &ShellId,
        origin: &Origin,
    ) -> Result<ShellEnded, ShellRefusal> {
        let session = self.session(id).await?;
        audit::close(self, &session, origin);
        let mut changes = session.changes();
        session.close();
        let ended = async {
            loop {
                changes.borrow_and_update();
                if let Some(ended) = session.state().ended.clone() {
                    return ended;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let unseen = ShellEnded {
            why: "it was asked to end and has not been seen to".to_owned(),
            exit_status: None,
            stopped: Some(sshepherd_model::Stopped::Unconfirmed),
        };
        Ok(tokio::time::timeout(CLOSED, ended).await.unwrap_or(unseen))
    }
}

/// The bytes that a terminal sends for an input.
fn encoded(input: &Input, state: &super::state::State) -> Result<Vec<u8>, InvalidField> {
    let screen = state.emulator.screen();
    let mut bytes = input.text.replace("\r\n", "\r").replace('\n', "\r").into_bytes();
    if !input.paste.is_empty() {
        bytes.extend(keys::paste(&input.paste, screen.bracketed_paste));
    }
    for key in &input.keys {
        let encoded = keys::encode(key, screen.application_cursor)
            .map_err(|unknown| InvalidField::new("keys", unknown.to_string()))?;
        bytes.extend(encoded);
    }
    Ok(bytes)
}

impl Session {
    /// Whether so many bytes more may be typed.
    fn admit(&self, wanted: u64) -> Result<(), ShellRefusal> {
        let typed = self.state().typed;
        if typed.saturating_add(wanted) > self.limits.input_bytes {
            return Err(ShellRefusal::InputLimit { typed, most: self.limits.input_bytes, wanted });
        }
        Ok(())
    }

    /// Waits until the host has said what it runs, where nothing else may read what is typed.
    async fn ready(&self) -> Result<(), ShellRefusal> {
        let keyboard = self.keyboard().ok_or_else(|| self.gone())?;
        let until = self.state().connected_at + GREETED;
        match tokio::time::timeout_at(until.into(), keyboard.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) if !self.is_open() => Err(self.gone()),
            Ok(Err(_)) | Err(_) => Err(ShellRefusal::NotGreeted),
        }
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), ShellRefusal> {
        let keyboard = self.keyboard().ok_or_else(|| self.gone())?;
        self.state().typed(bytes.len() as u64, Instant::now());
        match tokio::time::timeout(TAKEN, keyboard.send(Bytes::from(bytes))).await {
            Ok(sent) => sent.map_err(|_| self.gone()),
            Err(_) => Err(ShellRefusal::NotTaken),
        }
    }

    /// Why nothing can be typed any more.
    fn gone(&self) -> ShellRefusal {
        let ended = self.state().ended.as_ref().map(|ended| ended.why.clone());
        let why = ended.unwrap_or_else(|| "the connection was lost".to_owned());
        ShellRefusal::Ended { id: self.id.clone(), why }
    }

    /// What the rule that opened it says of a secret.
    fn secrets<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a TypedSecret> {
        self.grant.secrets.iter().filter(move |secret| secret.name == name)
    }

    /// The terms under which the line of the cursor asks for a secret, and where the output stands.
    fn asked(&self, name: &str) -> Option<(TypedSecret, u64)> {
        let state = self.state();
        let screen = state.emulator.screen();
        let asks = self.secrets(name).find(|secret| secret.prompt.is_match(&screen.before_cursor));
        Some((asks?.clone(), state.scrollback.end()))
    }
}

/// Whether what is typed stays hidden; else why not.
fn hidden(echo: Echo) -> Result<(), &'static str> {
    match echo {
        Echo::Off => Ok(()),
        Echo::On => Err("what is typed there would be shown"),
        Echo::Raw => {
            Err("the program reads single keys and may show them; only a hidden line is answered")
        }
        Echo::Unknown => Err("the host could not say whether what is typed would be shown"),
    }
}
