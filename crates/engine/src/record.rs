//! Writing down: decisions and executions to the audit record, accepted tasks to the store.

use std::net::IpAddr;
use std::time::SystemTime;

use sshepherd_audit::{Decision, Entry, Event, Source};
use sshepherd_model::{Alias, CommandHash, ConnectFailure, Host, Outcome, Phase, Request, TaskId};
use sshepherd_policy::{Denial, PermitParts, ShellRequest};
use sshepherd_store::{
    Approval, Care, Error, NewTask, Spent, Standing, Task, TaskLimits, Totals, Wish,
};

use crate::approval::Asked;
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::errand::Errand;
use crate::gate::Throttled;
use crate::pipeline::Origin;
use crate::plan::{Brief, Manner, Plan, TaskKey};
use crate::refusal::{Refusal, chain};
use crate::seal;

/// What came of entering a task.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// It is new.
    New,
    /// The caller has asked for it before: this is it.
    Known(Box<Task>),
}

impl Engine {
    /// 128 random bits for a task's id.
    pub(crate) fn nonce(&self) -> Result<u128, Refusal> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(Refusal::NoRandomness)?;
        Ok(u128::from_le_bytes(bytes))
    }

    /// A name in the form of a task's id that nobody can guess.
    pub fn fresh_id(&self, label: &Alias, hash: &CommandHash) -> Result<TaskId, Refusal> {
        Ok(TaskId::compose(label, hash, self.nonce()?))
    }

    /// Enters the task into the store, before it runs. A task that carries the same key is answered instead, if it is
    /// the same command for the same host.
    pub(crate) async fn record(&self, plan: &Plan, request: &Request) -> Result<Recorded, Refusal> {
        let brief = &plan.brief;
        let (key, care) = match &plan.manner {
            Manner::Waited => (None, Care::Result),
            Manner::Background { key } => (key.clone(), Care::EachStep),
        };
        let alias = &brief.host.alias;
        if let Some(key) = &key
            && let Some(old) = self.named_before(key).await?
        {
            return self.known(old, alias, request);
        }
        let task = NewTask {
            id: brief.task_id.clone(),
            alias: brief.host.alias.clone(),
            hash: brief.hash.clone(),
            command: request.command().to_owned(),
            limits: TaskLimits::from(&brief.limits),
            raw_shell: brief.raw_shell,
            created_at: now_ms(),
            errand: Errand::text(request, &brief.origin, &plan.granted),
            key: key.as_ref().map(TaskKey::stored),
            digest: key.as_ref().map(|_| self.asked_digest(alias, request)).transpose()?,
            care,
        };
        match self.store().create(task).await {
            Ok(_) => Ok(Recorded::New),
            Err(Error::KeyTaken { task }) => self.known(*task, alias, request),
            Err(Error::KeySpent { spent }) => Err(self.was_spent(*spent, alias, request)?),
            Err(error) => Err(not_entered(error)),
        }
    }

    fn known(&self, task: Task, alias: &Alias, request: &Request) -> Result<Recorded, Refusal> {
        match self.is_same(&task, alias, request)? {
            true => Ok(Recorded::Known(Box::new(task))),
            false => Err(Refusal::KeyTaken { task_id: task.id }),
        }
    }

    /// Why nothing is run under a name whose task has ended and is no longer kept.
    fn was_spent(
        &self,
        spent: Spent,
        alias: &Alias,
        request: &Request,
    ) -> Result<Refusal, Refusal> {
        let Spent { id: task_id, status, digest, .. } = spent;
        Ok(match digest == Some(self.asked_digest(alias, request)?) {
            true => Refusal::KeySpent { task_id, status },
            false => Refusal::KeyTaken { task_id },
        })
    }

    /// The same before a person is asked: `Err` where there is such a task.
    pub(crate) async fn unspent(
        &self,
        key: &TaskKey,
        alias: &Alias,
        request: &Request,
    ) -> Result<(), Refusal> {
        let spent = self.store().spent(&key.stored(), now_ms()).await.map_err(Refusal::Store)?;
        match spent {
            Some(spent) => Err(self.was_spent(spent, alias, request)?),
            None => Ok(()),
        }
    }

    /// The task that goes by this name.
    pub(crate) async fn named(&self, key: &TaskKey) -> Result<Option<Task>, Refusal> {
        match self.store().named(&key.stored()).await.map_err(Refusal::Store)? {
            Some(task) => Ok(Some(task)),
            None => self.named_before(key).await,
        }
    }

    /// The task that a version before entered under this name.
    async fn named_before(&self, key: &TaskKey) -> Result<Option<Task>, Refusal> {
        let Some(old) = key.stored_before() else { return Ok(None) };
        self.store().named(old).await.map_err(Refusal::Store)
    }

    /// Whose jobs those of this store are.
    pub(crate) fn owner(&self) -> String {
        self.store().digest_key().map_or_else(|_| "0".to_owned(), |key| seal::owner(&key))
    }

    fn asked_digest(&self, alias: &Alias, request: &Request) -> Result<String, Refusal> {
        let key = self.store().digest_key().map_err(Refusal::Store)?;
        Ok(seal::asked(&key, alias, request))
    }

    /// Whether a stored task is what a caller asks for again under its own name for it. Of one that a version before entered
    /// only what was kept can be compared.
    pub(crate) fn is_same(
        &self,
        task: &Task,
        alias: &Alias,
        request: &Request,
    ) -> Result<bool, Refusal> {
        if let Some(digest) = &task.digest {
            return Ok(*digest == self.asked_digest(alias, request)?);
        }
        let kept = task.errand.as_deref().and_then(Errand::parse);
        let same = kept.is_none_or(|(kept, _)| kept == *request);
        Ok(same && task.alias == *alias && task.command == request.command())
    }

    fn request_digest(
        &self,
        config: &Config,
        host: &Host,
        request: &Request,
    ) -> Result<String, Refusal> {
        let command = (request.command(), request.cwd.as_deref());
        let sealer = self.sealer(config)?;
        Ok(sealer.request(host, command, &request.env, request.stdin.as_deref()))
    }

    /// Enters a task that nobody may have entered before.
    pub(crate) async fn enter(&self, task: NewTask) -> Result<(), Refusal> {
        self.store().create(task).await.map(drop).map_err(not_entered)
    }

    /// Writes down that a request was denied.
    pub(crate) fn audit_denial(
        &self,
        config: &Config,
        host: &Host,
        request: &Request,
        denial: &Denial,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = on_host(Event::Decision, origin, host);
        entry.hash = Some(request.hash());
        entry.request_digest = Some(self.request_digest(config, host, request)?);
        entry.decision = Some(Decision::Deny);
        entry.rules = denial.rule.iter().map(|rule| rule.id.clone()).collect();
        entry.reason = Some(denial.kind().to_owned());
        entry.command = text_of(config, request.command());
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a shell may not be opened.
    pub(crate) fn audit_shell_denial(
        &self,
        config: &Config,
        host: &Host,
        request: &ShellRequest,
        denial: &Denial,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = on_host(Event::Decision, origin, host);
        entry.hash = request.command.as_deref().map(sshepherd_model::CommandHash::of);
        entry.decision = Some(Decision::Deny);
        entry.rules = denial.rule.iter().map(|rule| rule.id.clone()).collect();
        entry.reason = Some(format!("shell: {}", denial.kind()));
        entry.command = request.command.as_deref().and_then(|command| text_of(config, command));
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a shell may be opened, and under which rule.
    pub(crate) fn audit_shell_permit(
        &self,
        config: &Config,
        parts: &PermitParts,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = on_host(Event::Decision, origin, &parts.host);
        entry.hash = Some(parts.hash.clone());
        entry.request_digest = Some(self.sealer(config)?.request(
            &parts.host,
            (&parts.wire, parts.cwd.as_deref()),
            &parts.env,
            parts.stdin.as_deref(),
        ));
        entry.decision = Some(Decision::Allow);
        entry.rules = parts.decisions.iter().map(|decision| decision.by()).collect();
        entry.reason = Some("shell".to_owned());
        entry.command = text_of(config, &parts.shown);
        entry.raw_shell = Some(true);
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a request had to wait.
    pub(crate) fn audit_throttled(
        &self,
        config: &Config,
        host: &Host,
        request: &Request,
        wait: &Throttled,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = on_host(Event::Decision, origin, host);
        entry.hash = Some(request.hash());
        entry.request_digest = Some(self.request_digest(config, host, request)?);
        entry.decision = Some(Decision::Deny);
        entry.reason = Some(format!("throttled: {}", wait.why));
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a request may run, and under which rules.
    pub(crate) fn audit_permit(&self, plan: &Plan, request: &Request) -> Result<(), Refusal> {
        let mut entry = of_task(Event::Decision, &plan.brief);
        let (config, host) = (&plan.brief.config, &plan.brief.host);
        entry.request_digest = Some(self.request_digest(config, host, request)?);
        entry.decision = Some(Decision::Allow);
        entry.rules = plan.decisions.iter().map(|decision| decision.by().to_owned()).collect();
        if let Some(noted) = &plan.unenforced {
            entry.decision = Some(Decision::Deny);
            entry.reason = Some(noted.kind().to_owned());
            entry.rules = noted.rule.iter().map(|rule| rule.id.clone()).collect();
            entry.enforcement = Some("audit".to_owned());
        }
        entry.command = text_of(&plan.brief.config, request.command());
        entry.policy_hash = Some(plan.brief.config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a person is asked before a request may run.
    pub(crate) fn audit_asked(
        &self,
        config: &Config,
        asked: &Asked,
        parts: &PermitParts,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = on_host(Event::Decision, origin, &parts.host);
        entry.hash = Some(parts.hash.clone());
        entry.request_digest = Some(self.sealer(config)?.request(
            &parts.host,
            (&parts.command, parts.cwd.as_deref()),
            &parts.env,
            parts.stdin.as_deref(),
        ));
        entry.decision = Some(Decision::Ask);
        entry.rules = parts.decisions.iter().map(|decision| decision.by().to_owned()).collect();
        entry.approval_id = Some(asked.id.clone());
        entry.command = text_of(config, &parts.command);
        entry.policy_hash = Some(config.policy_hash.clone());
        entry.raw_shell = parts.raw_shell.then_some(true);
        if asked.about.host_count > 1 {
            entry.reason = Some(format!("for {} hosts", asked.about.host_count));
        }
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a person answered, or that an answer was used.
    pub(crate) fn audit_approval(
        &self,
        approval: &Approval,
        word: &str,
        origin: &Origin,
        parts: Option<&PermitParts>,
    ) -> Result<(), Refusal> {
        let mut entry = match parts {
            Some(parts) => on_host(Event::Approval, origin, &parts.host),
            None => Entry::new(SystemTime::now(), Event::Approval, source(origin)),
        };
        entry.hash = parts.map(|parts| parts.hash.clone());
        entry.approval_id = Some(approval.id.clone());
        entry.answer = Some(word.to_owned());
        entry.by = match &approval.standing {
            Standing::Open => None,
            Standing::Approved { by, .. }
            | Standing::Refused { by, .. }
            | Standing::Used { by, .. } => Some(by.clone()),
        };
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that the command is about to be sent; when that fails, it must not be.
    pub(crate) fn audit_start(
        &self,
        brief: &Brief,
        peer: Option<IpAddr>,
    ) -> Result<(), ConnectFailure> {
        let mut entry = of_task(Event::ExecutionStart, brief);
        entry.target_ip = peer;
        self.audit().record(&entry).map_err(|error| ConnectFailure {
            phase: Phase::Record,
            detail: chain(&error).into(),
            hint: "nothing was sent, because it could not be recorded; see audit.path in sshepherd.yml"
                .to_owned(),
        })
    }

    /// Writes down how a command ended. It has ended whether or not this can be written.
    pub(crate) fn audit_end(
        &self,
        brief: &Brief,
        outcome: &Outcome,
        peer: Option<IpAddr>,
        duration_ms: u64,
        totals: Totals,
    ) {
        let mut entry = of_task(Event::ExecutionEnd, brief).with_outcome(outcome);
        entry.target_ip = peer;
        entry.duration_ms = Some(duration_ms);
        entry.bytes_out = Some(totals.bytes());
        if let Err(error) = self.audit().record(&entry) {
            tracing::error!(task = %brief.task_id, %error, "the end of a command could not be audited");
        }
    }

    /// Writes down that a command was seen to end and that the store refused to keep it: another server has the task, or nobody.
    pub(crate) fn audit_refused_end(
        &self,
        brief: &Brief,
        outcome: &Outcome,
        peer: Option<IpAddr>,
        error: &Error,
    ) {
        let mut entry = of_task(Event::ExecutionEnd, brief).with_outcome(outcome);
        let seen = entry.outcome.replace("refused".to_owned()).unwrap_or_default();
        entry.reason = Some(format!("seen: {seen}; not stored: {}", chain(error)));
        entry.target_ip = peer;
        if let Err(error) = self.audit().record(&entry) {
            tracing::error!(task = %brief.task_id, %error, "a refused end could not be audited");
        }
    }

    /// Writes down who asked for a task to be stopped.
    pub(crate) fn audit_cancel(&self, id: &TaskId, origin: &Origin) {
        let mut entry = Entry::new(SystemTime::now(), Event::CancelRequest, source(origin));
        entry.task_id = Some(id.clone());
        if let Err(error) = self.audit().record(&entry) {
            tracing::error!(task = %id, %error, "a cancel could not be audited");
        }
    }

    /// Writes down who wants what of a fan-out: that it pauses, goes on, or leaves a host out.
    pub(crate) fn audit_wish(
        &self,
        id: &TaskId,
        wish: &Wish,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let (event, alias) = match wish {
            Wish::Pause => (Event::PauseRequest, None),
            Wish::Resume | Wish::Lapse => (Event::ResumeRequest, None),
            Wish::Skip(alias) => (Event::CancelRequest, Some(alias.clone())),
        };
        let mut entry = Entry::new(SystemTime::now(), event, source(origin));
        entry.task_id = Some(id.clone());
        entry.alias = alias;
        match self.audit().record(&entry) {
            // Like a cancel: what begins nothing is done all the same.
            Err(error) if *wish != Wish::Resume => {
                tracing::error!(task = %id, %error, "what is wanted of a fan-out could not be audited");
                Ok(())
            }
            written => written.map_err(Refusal::Audit),
        }
    }

    /// Writes down that the configuration was replaced.
    pub(crate) fn audit_reload(&self, config: &Config, origin: &Origin) -> Result<(), Refusal> {
        let mut entry = Entry::new(SystemTime::now(), Event::Reload, source(origin));
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }

    /// Writes down that a new configuration was not taken; `config` is the one that stays.
    pub(crate) fn audit_reload_refused(
        &self,
        config: &Config,
        why: &str,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        let mut entry = Entry::new(SystemTime::now(), Event::Reload, source(origin));
        entry.outcome = Some("refused".to_owned());
        entry.reason = Some(why.to_owned());
        entry.policy_hash = Some(config.policy_hash.clone());
        self.audit().record(&entry).map_err(Refusal::Audit)
    }
}

fn not_entered(error: Error) -> Refusal {
    match error {
        full @ (Error::Full { .. } | Error::NoRoom { .. }) => Refusal::Busy(full),
        other @ (Error::Exists { .. }
        | Error::KeyTaken { .. }
        | Error::KeySpent { .. }
        | Error::Gone { .. }
        | Error::Illegal { .. }
        | Error::Ended { .. }
        | Error::NotRunning { .. }
        | Error::BeyondEnd { .. }
        | Error::Folder { .. }
        | Error::TooManyQuestions { .. }
        | Error::Newer { .. }
        | Error::Held { .. }
        | Error::Database { .. }
        | Error::Fenced { .. }) => Refusal::Store(other),
    }
}

/// The text of a command, where the owner wants it recorded.
fn text_of(config: &Config, command: &str) -> Option<String> {
    config.audit_commands.then(|| command.to_owned())
}

fn source(origin: &Origin) -> Source {
    Source { face: origin.face.to_owned(), client: origin.client.clone() }
}

pub(crate) fn on_host(event: Event, origin: &Origin, host: &Host) -> Entry {
    let mut entry = Entry::new(SystemTime::now(), event, source(origin));
    entry.alias = Some(host.alias.clone());
    entry.host = Some(format!("{}:{}", host.address, host.port));
    entry
}

fn of_task(event: Event, brief: &Brief) -> Entry {
    let mut entry = on_host(event, &brief.origin, &brief.host);
    entry.hash = Some(brief.hash.clone());
    entry.task_id = Some(brief.task_id.clone());
    entry.raw_shell = brief.raw_shell.then_some(true);
    entry
}
