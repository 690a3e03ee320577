//! Opening a shell: judge → (ask) → audit → open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::{Alias, ConnectFailure, Host, Phase, ShellId};
use sshepherd_policy::{Opening, PermitParts, ShellPermit, ShellRequest, Verdict};
use sshepherd_ssh::{Interactive, Size, Terminal};
use sshepherd_store::shells::ShellRecord;

use super::audit;
use super::session::{Making, Session};
use super::{ShellInfo, ShellLife, ShellRefusal};
use crate::approval::Asking;
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::gate::Throttled;
use crate::pipeline::{Origin, find};
use crate::refusal::Refusal;
use crate::runner;

/// How long the host may take to say what it started.
pub(super) const GREETED: Duration = Duration::from_secs(15);

/// What to open.
#[derive(Debug, Clone)]
pub struct OpenShell {
    /// What the policy is asked about.
    pub request: ShellRequest,
    /// Columns and rows.
    pub size: Size,
    /// The terminal's type, for `TERM`.
    pub term: String,
}

impl Engine {
    /// Opens a shell on the host `alias` when the policy allows it.
    pub async fn open_shell(
        &self,
        alias: &Alias,
        wanted: &OpenShell,
        origin: Origin,
    ) -> Result<ShellId, ShellRefusal> {
        let config = self.config();
        if self.closing().is_cancelled() {
            return Err(Refusal::ShuttingDown.into());
        }
        let host = find(&config, alias)?;
        let permit = self.may_open(&config, &host, &wanted.request, &origin).await?;
        let (parts, opening) = permit.into_parts();
        let session = self.enter_shell(&config, parts, &opening, wanted, origin)?;
        let opened = self.begin_shell(&session, &opening, wanted).await;
        if opened.is_err() {
            session.close();
        }
        opened.map(|()| session.id.clone())
    }

    /// The permit to open a shell, with a person's yes where the policy wants one.
    pub(super) async fn may_open(
        &self,
        config: &Arc<Config>,
        host: &Arc<Host>,
        request: &ShellRequest,
        origin: &Origin,
    ) -> Result<ShellPermit, ShellRefusal> {
        match config.policy.judge_shell(host, request)? {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Ask(question) => {
                let released = self.released(config, question, origin, Asking::Now).await?;
                Ok(released.permit)
            }
            Verdict::Deny(denial) => {
                self.audit_shell_denial(config, host, request, &denial, origin)?;
                Err(Refusal::Denied(Box::new(denial)).into())
            }
        }
    }

    fn enter_shell(
        &self,
        config: &Arc<Config>,
        parts: PermitParts,
        opening: &Opening,
        wanted: &OpenShell,
        origin: Origin,
    ) -> Result<Arc<Session>, ShellRefusal> {
        let limits = parts.limits.shells;
        let _one = self.shells().entering.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.room_for_shell(config, &parts.host.alias, limits.open)?;
        self.audit_shell_permit(config, &parts, &origin)?;
        let nonce = self.nonce()?;
        let id = ShellId::compose(u64::from_le_bytes(
            *nonce.to_le_bytes().first_chunk().unwrap_or(&[0; 8]),
        ));
        let record = ShellRecord {
            id: id.clone(),
            alias: parts.host.alias.clone(),
            opened_at: now_ms(),
            what: parts.shown,
            command: opening.program.clone(),
            cols: wanted.size.cols,
            rows: wanted.size.rows,
            term: wanted.term.clone(),
            persistent: opening.persistent.then(|| id.to_string()),
            cookie: id.to_string(),
            policy_hash: config.policy_hash.clone(),
            host: format!("{}:{}", parts.host.address, parts.host.port),
            client: origin.client.clone(),
            recording: opening.grant.recording && self.shells().folder().is_some(),
            ended: None,
        };
        let held = match self.shells().folder() {
            None => None,
            Some(folder) => match folder.create(&record) {
                Ok(held) => Some(held),
                // Without a record nobody would find it again.
                Err(error) if opening.persistent || opening.grant.recording => {
                    return Err(ShellRefusal::NotOpened(unrecorded(&error)));
                }
                Err(_) => None,
            },
        };
        let session = Arc::new(Session::new(Making {
            record,
            host: parts.host,
            config: Arc::clone(config),
            origin,
            grant: opening.grant.clone(),
            limits,
            held,
            scrollback: config.shells.scrollback_bytes,
        }));
        self.shells().enter(Arc::clone(&session));
        Ok(session)
    }

    fn room_for_shell(
        &self,
        config: &Config,
        alias: &Alias,
        most: u32,
    ) -> Result<(), ShellRefusal> {
        let (here, all) = self.shells().open(alias);
        let why = if here >= most as usize {
            format!(
                "{here} shells are open on {alias}, which is as many as its limit max_shells allows"
            )
        } else if all >= config.shells.open {
            format!("{all} shells are open, which is as many as this server allows")
        } else {
            return Ok(());
        };
        let wait = Throttled {
            why: format!("{why}; close one that is not needed"),
            retry_after: Duration::from_secs(60),
        };
        Err(Refusal::Throttled(wait).into())
    }

    async fn begin_shell(
        &self,
        session: &Arc<Session>,
        opening: &Opening,
        wanted: &OpenShell,
    ) -> Result<(), ShellRefusal> {
        let program = match (opening.persistent, &opening.program) {
            (true, command) => Interactive::Persistent {
                name: session.id.to_string(),
                command: command.clone(),
                resume: false,
            },
            (false, None) => Interactive::LoginShell,
            (false, Some(text)) => Interactive::Command(text.clone()),
        };
        let asked = sshepherd_ssh::Opening {
            program,
            env: opening.env.clone(),
            term: wanted.term.clone(),
            size: wanted.size,
            cookie: session.id.to_string(),
        };
        let began = audit::opened(self, session, "opened").map_err(ShellRefusal::from);
        let connected = match began {
            Ok(()) => self.terminal(session, asked).await,
            Err(refusal) => Err(refusal),
        };
        match connected {
            Ok(terminal) => self.greeted(session, terminal).await,
            Err(refusal) => {
                session.never_opened(self, &refusal.to_string());
                Err(refusal)
            }
        }
    }

    /// Connects to the host and opens a terminal there.
    pub(super) async fn terminal(
        &self,
        session: &Session,
        opening: sshepherd_ssh::Opening,
    ) -> Result<Terminal, ShellRefusal> {
        let opened = async {
            let target = runner::target(self, &session.config, &session.host).await?;
            self.pool().open(target).await
        };
        let ready = opened.await.map_err(ShellRefusal::NotOpened)?;
        ready.terminal(opening).await.map_err(ShellRefusal::NotOpened)
    }

    /// Connects the terminal to its session and waits until the host has said what it started, or something came. What is to be
    /// kept by the host must have said so: any other program ends with its connection.
    pub(super) async fn greeted(
        &self,
        session: &Arc<Session>,
        terminal: Terminal,
    ) -> Result<(), ShellRefusal> {
        let mut changes = session.changes();
        let keyboard = terminal.keyboard();
        let persistent = session.record().persistent.is_some();
        session.connect(self, terminal);
        let until = Instant::now() + GREETED;
        loop {
            changes.borrow_and_update();
            {
                let state = session.state();
                if let Some(ended) = &state.ended
                    && state.greeted.is_none()
                {
                    return Err(ShellRefusal::Ended {
                        id: session.id.clone(),
                        why: ended.why.clone(),
                    });
                }
                if state.greeted.is_some() || state.came > 0 && !persistent {
                    return Ok(());
                }
            }
            if tokio::time::timeout_at(until.into(), changes.changed()).await.is_err() {
                if persistent {
                    keyboard.hang_up().await;
                    return Err(ShellRefusal::NotOpened(unkept()));
                }
                return Ok(());
            }
        }
    }

    /// Every shell that is known on this machine, newest first.
    #[must_use]
    pub fn shell_list(&self) -> Vec<ShellInfo> {
        let mut infos: Vec<ShellInfo> =
            self.shells().all().iter().map(|session| session.info()).collect();
        let others = self.shells().folder().map(|folder| folder.list()).unwrap_or_default();
        for other in others {
            if infos.iter().any(|info| info.id == other.record.id) {
                continue;
            }
            infos.push(super::adopt::info(&other));
        }
        infos
            .sort_by_key(|info| (info.life == ShellLife::Ended, std::cmp::Reverse(info.opened_at)));
        infos
    }

    /// What is known of one shell.
    pub fn shell(&self, id: &ShellId) -> Result<ShellInfo, ShellRefusal> {
        if let Some(session) = self.shells().get(id) {
            return Ok(session.info());
        }
        let known = self.shells().folder().and_then(|folder| folder.read(id));
        known
            .map(|listed| super::adopt::info(&listed))
            .ok_or_else(|| ShellRefusal::Unknown(id.clone()))
    }
}

fn unkept() -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!(
            "the host has not said within {} s that it keeps the shell",
            GREETED.as_secs()
        )
        .into(),
        hint: "a forced command or an appliance keeps no shell; leave persistent out, or try again"
            .to_owned(),
    }
}

fn unrecorded(error: &sshepherd_store::Error) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!("the shell could not be entered into the state folder: {error}").into(),
        hint: "nothing was opened; see the state folder".to_owned(),
    }
}
