//! Going on with a shell that its host keeps, after its connection was lost or its server was gone.

use std::sync::Arc;

use sshepherd_model::{ConnectFailure, Host, Phase, ShellId};
use sshepherd_policy::{ShellPermit, ShellRequest, Verdict};
use sshepherd_ssh::{Interactive, Size};
use sshepherd_store::shells::{Claim, HeldShell, Life, ListedShell, ShellRecord};

use super::audit;
use super::session::{Making, Session};
use super::{ShellInfo, ShellLife, ShellRefusal};
use crate::config::Config;
use crate::engine::Engine;
use crate::pipeline::{Origin, find};

/// A shell that may be gone on with, and where.
type Permitted = (Arc<Config>, Arc<Host>, ShellPermit);

impl Engine {
    /// A shell to read: also one that has ended, as long as its output is kept here.
    pub(super) async fn session_to_read(&self, id: &ShellId) -> Result<Arc<Session>, ShellRefusal> {
        match self.shells().get(id) {
            Some(session) if !session.is_open() || session.keyboard().is_some() => Ok(session),
            _ => self.session(id).await,
        }
    }

    /// A shell that can be used; one that its host keeps is connected to again.
    pub(super) async fn session(&self, id: &ShellId) -> Result<Arc<Session>, ShellRefusal> {
        let usable = |session: &Arc<Session>| -> Result<bool, ShellRefusal> {
            if let Some(ended) = &session.state().ended {
                return Err(ShellRefusal::Ended { id: id.clone(), why: ended.why.clone() });
            }
            Ok(session.keyboard().is_some())
        };
        if let Some(session) = self.shells().get(id)
            && usable(&session)?
        {
            return Ok(session);
        }
        let _one = self.shells().adopting.lock().await;
        let session = match self.shells().get(id) {
            Some(session) if usable(&session)? => return Ok(session),
            Some(session) => self.under_present_policy(session).await?,
            None => self.claimed(id).await?,
        };
        self.reattach(&session).await?;
        Ok(session)
    }

    /// Takes over the record of a shell whose server is gone.
    async fn claimed(&self, id: &ShellId) -> Result<Arc<Session>, ShellRefusal> {
        let folder = self.shells().folder().ok_or_else(|| ShellRefusal::Unknown(id.clone()))?;
        let claim = folder.claim(id).map_err(crate::refusal::Refusal::Store)?;
        let (held, record) = match claim {
            Claim::Taken(held, record) => (held, record),
            Claim::InUse => return Err(ShellRefusal::Elsewhere(id.clone())),
            Claim::Unknown => return Err(ShellRefusal::Unknown(id.clone())),
            Claim::Ended(record) => {
                let why = record.ended.map_or_else(String::new, |ended| ended.why);
                return Err(ShellRefusal::Ended { id: id.clone(), why });
            }
        };
        if record.persistent.is_none() {
            let why = "its server ended, and the host does not keep it".to_owned();
            return Err(ShellRefusal::Ended { id: id.clone(), why });
        }
        let (config, host, permit) = self.permitted_again(&record).await?;
        let origin = Origin { face: "resumed", client: record.client.clone() };
        let session = self.gone_on_with((config, host, permit), record, Some(held), origin);
        // The host kept it before, whatever the next connection comes to.
        session.state().kept = true;
        Ok(session)
    }

    /// The shell whose connection was lost, as the configuration of now has it: what was written is kept.
    async fn under_present_policy(
        &self,
        session: Arc<Session>,
    ) -> Result<Arc<Session>, ShellRefusal> {
        let record = session.record();
        if record.persistent.is_none() || Arc::ptr_eq(&session.config, &self.config()) {
            return Ok(session);
        }
        let permitted = self.permitted_again(&record).await?;
        let origin = session.origin.clone();
        let next = self.gone_on_with(permitted, record, session.take_held(), origin);
        std::mem::swap(&mut *next.state(), &mut *session.state());
        Ok(next)
    }

    /// Judges a shell that the host keeps under the policy that is in force now.
    async fn permitted_again(&self, record: &ShellRecord) -> Result<Permitted, ShellRefusal> {
        let config = self.config();
        let host = find(&config, &record.alias)?;
        let now = format!("{}:{}", host.address, host.port);
        if now != record.host {
            return Err(ShellRefusal::NotOpened(elsewhere(record, &now)));
        }
        let origin = Origin { face: "resumed", client: record.client.clone() };
        let request = ShellRequest {
            command: record.command.clone(),
            env: Vec::new(),
            persistent: record.persistent.is_some(),
        };
        // A person's yes was for this shell; under another policy it is asked for again.
        let permit = match config.policy.judge_shell(&host, &request)? {
            Verdict::Ask(question) if record.policy_hash == config.policy_hash => {
                question.approved()
            }
            Verdict::Allow(permit) => permit,
            Verdict::Ask(_) | Verdict::Deny(_) => {
                self.may_open(&config, &host, &request, &origin).await?
            }
        };
        Ok((config, host, permit))
    }

    fn gone_on_with(
        &self,
        (config, host, permit): Permitted,
        mut record: ShellRecord,
        held: Option<HeldShell>,
        origin: Origin,
    ) -> Arc<Session> {
        let (parts, opening) = permit.into_parts();
        record.policy_hash.clone_from(&config.policy_hash);
        let session = Arc::new(Session::new(Making {
            record,
            host,
            grant: opening.grant,
            limits: parts.limits.shells,
            scrollback: config.shells.scrollback_bytes,
            config,
            origin,
            held,
        }));
        self.shells().enter(Arc::clone(&session));
        session
    }

    async fn reattach(&self, session: &Arc<Session>) -> Result<(), ShellRefusal> {
        let record = session.record();
        let Some(name) = record.persistent.clone() else {
            let why = "the connection was lost, and the host does not keep it".to_owned();
            return Err(ShellRefusal::Ended { id: session.id.clone(), why });
        };
        audit::opened(self, session, "connected again")?;
        let opening = sshepherd_ssh::Opening {
            program: Interactive::Persistent { name, command: record.command, resume: true },
            env: Vec::new(),
            term: record.term,
            size: Size { cols: record.cols, rows: record.rows },
            cookie: record.cookie,
        };
        let terminal = self.terminal(session, opening).await?;
        self.greeted(session, terminal).await
    }
}

/// The alias stands for another machine than the one that keeps the shell.
fn elsewhere(record: &ShellRecord, now: &str) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!(
            "{} is {now} now, and this shell was opened at {}",
            record.alias, record.host
        )
        .into(),
        hint: "nothing was connected to; the owner can give the alias its earlier address again"
            .to_owned(),
    }
}

/// What a record tells of a shell that is not this server's.
pub(super) fn info(listed: &ListedShell) -> ShellInfo {
    let record = &listed.record;
    ShellInfo {
        id: record.id.clone(),
        alias: record.alias.clone(),
        what: record.what.clone(),
        life: match listed.life {
            Life::Open => ShellLife::Elsewhere,
            Life::Detached => ShellLife::Detached,
            Life::Ended => ShellLife::Ended,
        },
        size: (record.cols, record.rows),
        opened_at: record.opened_at,
        persistent: record.persistent.is_some(),
        kind: None,
        marked: false,
        at_prompt: None,
        exit_status: None,
        unread: 0,
        ended: match (&record.ended, listed.life) {
            (Some(ended), _) => Some(ended.why.clone()),
            (None, Life::Ended) => Some("its server ended".to_owned()),
            (None, Life::Open | Life::Detached) => None,
        },
        recorded: record.recording,
    }
}
