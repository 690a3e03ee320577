//! What is written down about shells. What is typed stands there by length and hash; its text only if the owner wants it, and
//! a secret never.

use sha2::{Digest, Sha256};
use sshepherd_audit::{Entry, Event};

use super::ShellEnded;
use super::session::Session;
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::record::on_host;
use crate::refusal::Refusal;

fn entry(event: Event, session: &Session, origin: &Origin) -> Entry {
    let mut entry = on_host(event, origin, &session.host);
    entry.session_id = Some(session.id.clone());
    entry
}

/// The shell is about to be opened, or gone on with; when that cannot be written, it must not be.
pub(super) fn opened(engine: &Engine, session: &Session, how: &str) -> Result<(), Refusal> {
    let mut entry = entry(Event::ShellOpened, session, &session.origin);
    entry.reason = Some(how.to_owned());
    entry.policy_hash = Some(session.config.policy_hash.clone());
    engine.audit().record(&entry).map_err(Refusal::Audit)
}

/// This is about to be typed.
pub(super) fn input(
    engine: &Engine,
    session: &Session,
    bytes: &[u8],
    origin: &Origin,
) -> Result<(), Refusal> {
    let mut entry = entry(Event::ShellInput, session, origin);
    entry.bytes_in = Some(bytes.len() as u64);
    entry.input_sha256 =
        Some(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect());
    if session.grant.audit_input {
        let text = String::from_utf8_lossy(bytes);
        entry.command = Some(session.config.screen().redacted(&text));
    }
    engine.audit().record(&entry).map_err(Refusal::Audit)
}

/// A secret is about to be typed.
pub(super) fn secret(
    engine: &Engine,
    session: &Session,
    name: &str,
    origin: &Origin,
) -> Result<(), Refusal> {
    let mut entry = entry(Event::ShellSecret, session, origin);
    entry.reason = Some(format!("secret {name}"));
    engine.audit().record(&entry).map_err(Refusal::Audit)
}

/// A signal is about to be sent.
pub(super) fn signal(
    engine: &Engine,
    session: &Session,
    name: &str,
    origin: &Origin,
) -> Result<(), Refusal> {
    let mut entry = entry(Event::ShellInput, session, origin);
    entry.reason = Some(format!("signal {name}"));
    engine.audit().record(&entry).map_err(Refusal::Audit)
}

/// Someone wants it closed.
pub(super) fn close(engine: &Engine, session: &Session, origin: &Origin) {
    let entry = entry(Event::CancelRequest, session, origin);
    if let Err(error) = engine.audit().record(&entry) {
        tracing::error!(session = %session.id, %error, "the closing of a shell could not be audited");
    }
}

/// It has ended, whether or not this can be written.
pub(super) fn end(engine: &Engine, session: &Session, ended: &ShellEnded) {
    let mut entry = entry(Event::ShellEnded, session, &session.origin);
    entry.reason = Some(ended.why.clone());
    entry.exit_status = ended.exit_status;
    entry.stopped = ended.stopped;
    entry.duration_ms = Some(now_ms().saturating_sub(session.opened_at));
    {
        let state = session.state();
        entry.bytes_in = Some(state.typed);
        entry.bytes_out = Some(state.came);
    }
    if let Err(error) = engine.audit().record(&entry) {
        tracing::error!(session = %session.id, %error, "the end of a shell could not be audited");
    }
}
