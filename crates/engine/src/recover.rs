//! Tasks of servers that are gone: claimed, judged anew, and gone on with. Also the ear for what other servers ask.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sshepherd_model::{ConnectFailure, Host, Limits, Outcome, Phase, Request};
use sshepherd_policy::{Judged, Verdict};
use sshepherd_ssh::job::{JobPlace, Tombstone};
use sshepherd_store::{Durability, Finish, Heard, News, Orphans, State, Task};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::{Adopt, Engine, now_ms};
use crate::errand::Errand;
use crate::group::Group;
use crate::job::{Job, Start};
use crate::live::AtClose;
use crate::pipeline::Origin;
use crate::places::{self, Bound};
use crate::plan::{Brief, Manner, Plan};
use crate::pursuit::{Known, Sent};
use crate::runner;
use crate::watch::Bounds;

/// What to do with a claimed task.
enum Course {
    /// It was never sent: run it.
    Run(Box<Plan>),
    /// It was sent as a job: go on.
    GoOn { brief: Box<Brief>, start: Option<Start> },
    /// It is over, with this outcome.
    Over { brief: Box<Brief>, outcome: Outcome },
    /// Its host is no longer in the inventory: it can be neither run nor looked for.
    NoHost,
}

impl Engine {
    /// Hears what other servers say, until this one closes: cancels of tasks that run here, tasks to take over.
    pub(crate) async fn attend(self, adopt: Adopt) {
        let mut hints = self.store().subscribe();
        let mut configs = self.config_changes();
        if adopt == Adopt::Unasked {
            self.take_over(Orphans::All).await;
        }
        loop {
            let heard = tokio::select! {
                () = self.closing().cancelled() => return,
                Ok(()) = configs.changed() => Heard::Orphans,
                heard = hints.next() => heard,
            };
            match heard {
                Heard::Hint(hint) => match hint.news {
                    News::CancelRequested => {
                        if let Some(live) = self.live().get(&hint.id) {
                            live.cancel.cancel();
                        }
                    }
                    // A fan-out listens for itself.
                    News::Wished | News::Grew { .. } | News::State(_) => {}
                },
                Heard::Orphans if adopt == Adopt::Unasked => self.take_over(Orphans::All).await,
                Heard::Orphans => {}
                Heard::Lagged(_) => self.look_for_cancels().await,
                Heard::Closed => return,
            }
        }
    }

    /// Claims tasks whose server is gone and goes on with them.
    pub(crate) async fn take_over(&self, which: Orphans) {
        // Without a configuration nothing is allowed, which is no judgement on them.
        if !self.config().unread.is_empty() {
            return;
        }
        let engine = self.clone();
        match self.store().claim(which.that(move |task| engine.is_ours_to_end(task))).await {
            Ok(tasks) => {
                for task in tasks {
                    self.resume(task);
                }
            }
            Err(error) => tracing::warn!(%error, "tasks of other servers could not be taken over"),
        }
    }

    /// Whether anything can be done here about a task. One whose host is not configured is left to a server that knows it, or to this
    /// one when the host is back, for as long as it may come into sight again.
    fn is_ours_to_end(&self, task: &Task) -> bool {
        // What hangs on a server that is gone is over wherever its host is.
        let attached =
            task.status == State::Running && task.durability == Some(Durability::Attached);
        attached
            || Self::is_group(task)
            || self.config().inventory.host(&task.alias).is_some()
            || places::given_up_at(task) <= now_ms()
    }

    async fn look_for_cancels(&self) {
        for (id, live) in self.live().all() {
            let task = self.task(&id).await.ok().and_then(sshepherd_store::Lookup::found);
            if task.is_some_and(|task| task.cancel_requested_at.is_some()) {
                live.cancel.cancel();
            }
        }
    }

    fn resume(&self, task: Task) {
        tracing::info!(task = %task.id, status = %task.status, "taken over from a server that is gone");
        if let Some(text) = &task.errand
            && let (Some(targets), Some((request, origin))) =
                (Errand::targets(text), Errand::parse(text))
        {
            let granted = Errand::granted(text);
            self.run_group(Group {
                id: task.id.clone(),
                targets,
                request,
                rollout: Errand::rollout(text),
                origin,
                granted,
            });
            if task.cancel_requested_at.is_some()
                && let Some(live) = self.live().get(&task.id)
            {
                live.cancel.cancel();
            }
            return;
        }
        let engine = self.clone();
        let id = task.id.clone();
        self.at_work(&id, AtClose::HandOn, |cancel| async move {
            let peer = task.target_ip;
            if task.cancel_requested_at.is_some() {
                cancel.cancel();
            }
            match course(&engine, &task) {
                Course::Run(plan) => runner::drive(&engine, *plan, None, cancel).await,
                Course::Over { brief, outcome } => {
                    runner::finish(&engine, &brief, outcome, peer, Instant::now()).await;
                }
                Course::NoHost => engine.forsake(&task).await,
                Course::GoOn { brief, start } => {
                    go_on(&engine, &brief, start, &task, cancel).await;
                }
            }
        });
    }

    /// Ends a task whose host is no longer configured.
    async fn forsake(&self, task: &Task) {
        let outcome = match task.status {
            State::Running => Outcome::lost(format!(
                "it may have started on {}: host not configured since; whether it ended is not known",
                task.alias
            )),
            State::Pending
            | State::Completed
            | State::Failed
            | State::Cancelled
            | State::TimedOut
            | State::Interrupted => Outcome::NotStarted(ConnectFailure {
                phase: Phase::Resolve,
                detail: format!("no host is called {} any more", task.alias).into(),
                hint: "nothing was sent; see servers.yml".to_owned(),
            }),
        };
        let end = Finish { outcome, at: now_ms() };
        if let Err(error) = self.store().finish(&task.id, end).await {
            tracing::error!(task = %task.id, %error, "the outcome could not be stored");
        }
    }
}

async fn go_on(
    engine: &Engine,
    brief: &Brief,
    start: Option<Start>,
    task: &Task,
    cancel: CancellationToken,
) {
    // How long it has run is the host's to say: the clock on the wall, all that this server could go by, may have jumped.
    // The host ends it in time; here the whole time counts anew, for a host that is not reached any more.
    let mut bounds = Bounds::new(cancel, brief.limits.max_time, Instant::now());
    bounds.are_the_hosts();
    let bound = Bound::of(task);
    let place: Option<JobPlace> =
        task.place.as_deref().and_then(|place| serde_json::from_str(place).ok());
    // A place that is known was told by the host: that start was answered.
    let tombstone = if place.is_some() { Tombstone::Leave } else { Tombstone::Keep };
    let known = Known::new(Sent::Unanswered);
    let job = Job { engine, brief, start, ready: None, place, tombstone, bound };
    runner::run_job(job, known, &mut bounds, task.target_ip).await;
}

fn course(engine: &Engine, task: &Task) -> Course {
    let config = &engine.config();
    let (request, origin) = match task.errand.as_deref().and_then(Errand::parse) {
        Some((request, origin)) => (Some(request), origin),
        None => (None, Origin { face: "resumed", client: None }),
    };
    let Some(host) = config.inventory.host(&task.alias).cloned() else {
        return Course::NoHost;
    };
    let judged = request.map(|request| judge((engine, config), &host, &request, &origin, task));
    match (task.status, task.durability, judged) {
        (State::Pending, _, Some(Ok(plan))) => Course::Run(plan),
        (State::Pending, _, judged) => Course::Over {
            brief: Box::new(brief(config, host, origin, task)),
            outcome: Outcome::Denied { reason: reason(judged) },
        },
        (_, Some(Durability::Job), judged) => Course::GoOn {
            start: judged.and_then(Result::ok).map(|plan| Start {
                wire: plan.wire,
                stdin: plan.stdin.map(|text| Bytes::from(text.into_bytes())),
                env: plan.env,
            }),
            brief: Box::new(brief(config, host, origin, task)),
        },
        (_, Some(Durability::Attached) | None, _) => Course::Over {
            outcome: Outcome::lost("the server that ran it ended"),
            brief: Box::new(brief(config, host, origin, task)),
        },
    }
}

fn judge(
    (engine, config): (&Engine, &Arc<Config>),
    host: &Arc<Host>,
    request: &Request,
    origin: &Origin,
    task: &Task,
) -> Result<Box<Plan>, String> {
    let granted = task.errand.as_deref().map(Errand::granted).unwrap_or_default();
    let permit = match config.policy.judge(host, request) {
        Verdict::Allow(permit) => permit,
        Verdict::Ask(question) => {
            let mut sealer = engine.sealer(config).map_err(|refusal| refusal.to_string())?;
            let binding = sealer.permit(sshepherd_policy::Permit::KIND, question.parts());
            if !granted.covers(&binding) {
                return Err(
                    "a person's yes to it was for one start by a server that has ended; ask again"
                        .to_owned(),
                );
            }
            if task.status == State::Pending && granted.is_over(now_ms()) {
                return Err("the approval has expired; ask again".to_owned());
            }
            question.approved()
        }
        Verdict::Deny(denial) => return Err(denial.message),
    };
    let manner = Manner::Background { key: None };
    let (config, origin, id) = (Arc::clone(config), origin.clone(), task.id.clone());
    Ok(Box::new(Plan::resume(permit, config, origin, manner, id)))
}

fn reason(judged: Option<Result<Box<Plan>, String>>) -> String {
    match judged {
        Some(Err(message)) => message,
        Some(Ok(_)) | None => "what was asked for can no longer be read".to_owned(),
    }
}

/// What is known of a task that goes on under the limits it was accepted with.
fn brief(config: &Arc<Config>, host: Arc<Host>, origin: Origin, task: &Task) -> Brief {
    let mut limits: Limits = config.policy.limits(&host);
    limits.max_time = task.limits.max_time;
    Brief {
        task_id: task.id.clone(),
        host,
        hash: task.hash.clone(),
        limits,
        raw_shell: task.raw_shell,
        config: Arc::clone(config),
        origin,
    }
}
